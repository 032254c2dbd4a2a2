// A link to something within a fold opens it.
function reveal() {
  const target = document.getElementById(location.hash.slice(1));
  for (let element = target; element; element = element.parentElement) if (element.tagName === "DETAILS") element.open = true;
  target?.scrollIntoView();
}

addEventListener("hashchange", reveal);
addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (link && link.hash === location.hash) reveal(); // followed before, closed since
});
reveal();

