"""Reversible interception of one pipeline object: its components' calls and its own call.

Nothing here knows schedules. A component is replaced, in this pipeline only, by a :class:`Proxy`
that stands for it; the component itself is never touched, so another pipeline may share it,
``torch.compile`` sees no new code and device hooks go on working.
"""

import copy
import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NoReturn

from ...errors import AttachError, ReplacedComponentError, UnsupportedPipelineError

Overrides = Mapping[str, Callable[..., Any]]
"""Method name → what is called in its place.

``"__call__"`` stands for calling the component. ``"__copy__"`` is called with each copy of the
component (shallow or deep) that somebody makes; what it returns is handed out in the copy's place.
"""

Around = Callable[[Mapping[str, Any]], AbstractContextManager[Any]]

_get = object.__getattribute__


class Proxy:
    """Stands for ``target``: same class to isinstance, same attributes, some methods overridden."""

    __slots__ = ("_proxy_call", "_proxy_copied", "_proxy_methods", "_proxy_target")

    def __init__(self, target: Any, overrides: Overrides) -> None:
        methods = {
            name: _with_signature_of(getattr(target, name, override), override)
            for name, override in overrides.items()
            if name not in ("__call__", "__copy__")
        }
        object.__setattr__(self, "_proxy_target", target)
        object.__setattr__(self, "_proxy_methods", methods)
        object.__setattr__(self, "_proxy_call", overrides.get("__call__", target))
        object.__setattr__(self, "_proxy_copied", overrides.get("__copy__", _itself))

    @property
    def __class__(self) -> type:  # type: ignore[override]
        return _get(self, "_proxy_target").__class__

    def __getattr__(self, name: str) -> Any:
        method = _get(self, "_proxy_methods").get(name)
        return getattr(_get(self, "_proxy_target"), name) if method is None else method

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(_get(self, "_proxy_target"), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(_get(self, "_proxy_target"), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the override, or the target."""
        return _get(self, "_proxy_call")(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(_get(self, "_proxy_target"))

    def __dir__(self) -> list[str]:
        return dir(_get(self, "_proxy_target"))

    def __bool__(self) -> bool:
        return bool(_get(self, "_proxy_target"))

    def __len__(self) -> int:
        return len(_get(self, "_proxy_target"))

    def __copy__(self) -> Any:
        return _get(self, "_proxy_copied")(copy.copy(_get(self, "_proxy_target")))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _get(self, "_proxy_copied")(copy.deepcopy(_get(self, "_proxy_target"), memo))

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickles are of the target."""
        return _get(self, "_proxy_target").__reduce_ex__(protocol)


def _itself(component: Any) -> Any:
    return component


class Interception:
    """Proxies in place of a pipeline's components, and a context around its ``__call__``.

    Args:
        pipe: Any object whose components are instance attributes.
        overrides: Component name → overrides of its methods.
        around: Called for each ``pipe(...)`` with what it is called with, by name, defaults
            included; the call runs in its context.

    Raises:
        UnsupportedPipelineError: A component is not an instance attribute of ``pipe``.
    """

    def __init__(
        self,
        pipe: Any,
        overrides: Mapping[str, Overrides],
        around: Around,
    ) -> None:
        self._pipe = pipe
        self._class: type = pipe.__class__
        for name in overrides:
            if name not in vars(pipe):
                raise UnsupportedPipelineError(
                    f"{self._class.__name__}.{name} is not a plain attribute that can be "
                    "replaced: use meancache_runtime.integrate with your own loop"
                )
        self._originals = {name: vars(pipe)[name] for name in overrides}
        self._proxies = {
            name: Proxy(self._originals[name], methods) for name, methods in overrides.items()
        }
        # Past __setattr__: a pipeline's own would register the change in its configuration.
        vars(pipe).update(self._proxies)
        self._subclass = _intercepted(self._class, around)
        object.__setattr__(pipe, "__class__", self._subclass)

    def check_intact(self) -> None:
        """Raise ReplacedComponentError if somebody put another component in a proxy's place."""
        for name, proxy in self._proxies.items():
            if vars(self._pipe).get(name) is not proxy:
                raise ReplacedComponentError(
                    f"pipe.{name} was replaced while a schedule was attached: detach(), make the "
                    "change (compile, swap, …), then attach again"
                )

    def remove(self) -> None:
        """Put back the very objects that were found; keep a component replaced since then.

        ``torch.compile(pipe.transformer)`` made of a proxy cannot run, and is not kept.
        """
        for name, proxy in self._proxies.items():
            found = vars(self._pipe).get(name)
            if found is proxy or getattr(found, "_orig_mod", None) is proxy:
                vars(self._pipe)[name] = self._originals[name]
        if self._pipe.__class__ is self._subclass:
            object.__setattr__(self._pipe, "__class__", self._class)


@contextmanager
def overheard(pipe: Any, name: str, method: str, listen: Callable[[Any], None]) -> Generator[None]:
    """Tell ``listen`` what each call of a component's method returns, made through ``pipe``.

    Where a proxy stands for the component already, as on an attached pipeline, what the proxy
    returns is told; the proxy stays in its place.
    """
    component = vars(pipe)[name]
    call = getattr(component, method)

    def told(*args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        listen(result)
        return result

    if type(component) is not Proxy:
        interception = Interception(pipe, {name: {method: told}}, nullcontext)
        try:
            yield
        finally:
            interception.remove()
        return
    methods = _get(component, "_proxy_methods")
    found = dict(methods)
    methods[method] = _with_signature_of(call, told)
    try:
        yield
    finally:
        methods.clear()
        methods.update(found)


def is_intercepted(pipe: Any) -> bool:
    """Whether an :class:`Interception` of ``pipe`` is in place."""
    return getattr(pipe.__class__, "_is_intercepted", False)


def unwrap(component: Any) -> Any:
    """The component itself, where a :class:`Proxy` stands for it."""
    return _get(component, "_proxy_target") if type(component) is Proxy else component


def _intercepted(cls: type, around: Around) -> type:
    """A subclass of the same name whose ``__call__`` runs inside ``around(...)``.

    What hands a pipeline on hands on the components themselves, and never a copy whose proxies
    would still talk to this interception.
    """
    call: Callable[..., Any] = cls.__call__

    @functools.wraps(call)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        with around(_named(call, self, *args, **kwargs)):
            return call(self, *args, **kwargs)

    def components(self: Any) -> dict[str, Any]:
        found: dict[str, Any] = super(subclass, self).components  # type: ignore[misc]
        return {name: unwrap(component) for name, component in found.items()}

    def refuse_copy(self: Any, protocol: Any) -> NoReturn:
        raise AttachError(
            f"this {cls.__name__} follows a schedule: detach() before it is copied or pickled"
        )

    body: dict[str, Any] = {
        "__call__": wrapped,
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__reduce_ex__": refuse_copy,
        "_is_intercepted": True,
    }
    if hasattr(cls, "components"):
        body["components"] = property(components)
    subclass = type(cls.__name__, (cls,), body)
    return subclass


def _named(call: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """A call's arguments by name, with defaults; nothing of a call that its signature refuses."""
    try:
        bound = inspect.signature(call).bind(*args, **kwargs)
    except TypeError:
        return {}
    bound.apply_defaults()
    found = dict(bound.arguments)
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= found.pop(parameter.name)
    return found


def _with_signature_of(
    original: Callable[..., Any], replacement: Callable[..., Any]
) -> Callable[..., Any]:
    """``replacement`` as pipelines inspect it: with the original's signature and doc."""

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        return replacement(*args, **kwargs)

    return method
