"""What a script calls an object: by Keras's names, or imported from the module of one's own that has it."""

from __future__ import annotations

from dataclasses import dataclass, field

SHORT = {"keras.layers": "layers", "keras.initializers": "initializers"}
KNOWN = ("keras", "tensorflow", "numpy")


@dataclass
class Names:
    """The names that a script needs; `imports` are those from outside, by module."""

    imports: dict[str, list[str]] = field(default_factory=dict)

    def __call__(self, path: str) -> str:
        """The name of `module:attribute`, which from here on is imported."""
        module, _, attribute = path.partition(":")
        package = module.split(".")[0]
        if package in KNOWN:
            module = SHORT.get(module, module)
            short = {"tensorflow": "tf", "numpy": "np"}.get(package)
            return f"{module if short is None else module.replace(package, short, 1)}.{attribute}"
        name = attribute.split(".")[0]
        known = self.imports.setdefault(module, [])
        if name not in known:
            known.append(name)
        return attribute

    @property
    def lines(self) -> list[str]:
        """The statements that import what is from outside."""
        return [f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(self.imports.items())]
