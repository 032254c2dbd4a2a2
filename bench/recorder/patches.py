"""What stands in for methods while a step is traced, and is taken off again: nothing stays on a layer or optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


class Patches:
    """Attributes of objects that are others for a while.

    They are put into an object's `__dict__`, around what Keras and TensorFlow do when an attribute is set. With a
    `shield` what is put around a method does no harm where it fails: the shield is told, and the method has its way.
    """

    def __init__(self, shield: Callable[[BaseException], None] | None = None) -> None:
        self.shield = shield
        self.replaced: list[tuple[dict[str, Any], str, Any]] = []

    def put(self, owner: object, name: str, value: object) -> None:
        """Let the attribute be another from now on."""
        attributes = vars(owner)
        self.replaced.append((attributes, name, attributes.get(name, _ABSENT)))
        attributes[name] = value

    def around(self, owner: object, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Let a method be what `make` makes of it."""
        self.put(owner, name, self.shielded(getattr(owner, name), make))

    def shielded(
        self, method: Callable[..., Any], make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> Callable[..., Any]:
        """What `make` makes of a method; behind the shield, if there is one."""
        shield = self.shield
        if shield is None:
            return make(method)

        def tried(*args: Any, **more: Any) -> Any:
            given: list[Any] = []
            faults: list[BaseException] = []

            def once(*inner: Any, **named: Any) -> Any:
                try:
                    result = method(*inner, **named)
                except BaseException as error:
                    faults.append(error)
                    raise
                given.append(result)
                return result

            try:
                return make(once)(*args, **more)
            except Exception as error:
                if faults and not given:
                    raise
                shield(error)
                return given[0] if given else method(*args, **more)

        return tried

    def take_off(self) -> None:
        """Let all be as it was, the last first."""
        while self.replaced:
            attributes, name, before = self.replaced.pop()
            if before is _ABSENT:
                attributes.pop(name, None)
            else:
                attributes[name] = before


@contextmanager
def patched(put_on: Callable[[Patches], None], shield: Callable[[BaseException], None] | None = None) -> Iterator[None]:
    """With what `put_on` puts on; also where that itself fails, all is taken off."""
    patches = Patches(shield)
    try:
        put_on(patches)
        yield
    finally:
        patches.take_off()
