"""Binding, inferred where there is only one way, otherwise refused with the words to write.

`--bind TARGET=SOURCE` follows the data: `MODEL_INPUT=FIELD,FIELD,…` feeds an input, `FIELD=MODEL_OUTPUT` or
`FIELD=MODEL_OUTPUT[COLUMN]` answers an output field. That nothing is lost on the way is left to
`fivefold.core.bundle.binding`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from fivefold.core.bundle.binding import Binding, InputBinding, OutputBinding
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.core.fields.suggestion import nearest
from fivefold.packing.graph import Port

_WORD = re.compile(r"[^0-9a-z]+")
_SOURCE = re.compile(r"(?P<name>.+?)(?:\[(?P<column>\d+)\])?\Z")


@dataclass(frozen=True)
class Bind:
    """What the user said about the binding: model input -> fields, output field -> (model output, column). `nulls` is
    what a converter says: string input -> the text that it gets for null."""

    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[str, int | None]] = field(default_factory=dict)
    nulls: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Iterable[str], contract: Contract) -> Bind:
        """Read `TARGET=SOURCE` texts; a target that names an output field of the contract is one. `ContractInvalid`."""
        inputs: dict[str, tuple[str, ...]] = {}
        outputs: dict[str, tuple[str, int | None]] = {}
        answers = {item.name for item in contract.outputs}
        known = {item.name for item in contract.inputs}
        for text in texts:
            target, equals, source = text.rpartition("=")
            names = tuple(name.strip() for name in source.split(","))
            if not equals or not target.strip() or not all(names):
                raise ContractInvalid(
                    f"{text!r} is not a binding", help="write MODEL_INPUT=FIELD,… or FIELD=MODEL_OUTPUT[COLUMN]"
                )
            target = target.strip()
            if target in answers and not set(names) <= known:
                match = _SOURCE.match(names[0])
                assert match is not None  # the pattern matches any non-empty text
                outputs[target] = (match["name"], int(match["column"]) if match["column"] else None)
                continue
            for name in names:
                if name not in known:
                    raise ContractInvalid(
                        f"--bind {text}: the contract has no input field {name!r}",
                        help=nearest(name, [*known, *answers]),
                    )
            inputs[target] = names
        return cls(inputs, outputs)


def normal(name: str) -> str:
    """A name for comparison: lower case, any run of other characters than letters and digits is one `_`."""
    return _WORD.sub("_", name.lower()).strip("_")


def infer(contract: Contract, inputs: Sequence[Port], outputs: Sequence[Port], bind: Bind) -> Binding:
    """The binding of a model with these ports to the contract; `ContractInvalid` where there is not exactly one."""
    return Binding(tuple(_inputs(contract, inputs, bind)), tuple(_outputs(contract, outputs, bind)))


def _inputs(contract: Contract, ports: Sequence[Port], bind: Bind) -> list[InputBinding]:
    fields = {item.name: item for item in contract.inputs}
    for name in bind.inputs:
        if name not in {port.name for port in ports}:
            raise ContractInvalid(
                f"--bind {name}=…: neither an input of the model nor an output field of the contract",
                help=f"the model takes {_list(ports)}",
            )
    chosen: dict[str, tuple[str, ...]] = dict(bind.inputs)
    left = [name for name in fields if not any(name in names for names in chosen.values())]
    for port in ports:
        if port.name in chosen:
            continue
        match = [name for name in left if port.name in (name, *fields[name].aliases)]
        match = match or [name for name in left if normal(port.name) == normal(name)]
        if len(match) == 1:
            chosen[port.name] = (match[0],)
            left.remove(match[0])
    open_ports = [port for port in ports if port.name not in chosen]
    if len(open_ports) == 1 and left:
        chosen[open_ports[0].name] = tuple(left)
        left = []
        open_ports = []
    if open_ports or left:
        parts = []
        if open_ports:
            parts.append(f"the model's {_list(open_ports)} is fed by no field")
        if left:
            parts.append(
                f"the contract's {', '.join(left[:8])}{' …' if len(left) > 8 else ''} feeds no input of the model"
            )
        target = open_ports[0].name if open_ports else ports[0].name if ports else "INPUT"
        example = ",".join(left[:3]) or "FIELD"
        raise ContractInvalid(
            "; ".join(parts), path="inputs", help=f"name the fields after the inputs, or --bind {target}={example}"
        )
    made = [_input(port, [fields[name] for name in chosen[port.name]]) for port in ports]
    return [msgspec.structs.replace(item, null=bind.nulls.get(item.model_input)) for item in made]


def _input(port: Port, fields: Sequence[Field]) -> InputBinding:
    names = tuple(item.name for item in fields)
    if port.shape is None:
        raise ContractInvalid(
            f"the model's input {port.name!r} is a {port.dtype}, and a field is a tensor", path="inputs"
        )
    if port.shape and port.shape[0] is not None:
        raise ContractInvalid(
            f"the model's input {port} takes exactly {port.shape[0]} rows",
            path="inputs",
            help="export it with a dynamic first axis",
        )
    inner = port.shape[1:]
    scalars = all(not item.shape for item in fields)
    if len(fields) == 1:
        item = fields[0]
        wide = inner if len(inner) == len(item.shape) else None
        if wide is not None and all(size in (None, have) for size, have in zip(wide, item.shape, strict=True)):
            return InputBinding(port.name, names, port.dtype)
        if scalars and inner in ((1,), (None,)):
            return InputBinding(port.name, names, port.dtype)
        raise ContractInvalid(
            f"the model's input {port} takes {_shape(inner)} a row, and {item.name!r} holds {_shape(item.shape)}",
            path="inputs",
            help=f'give the field "shape": {[size or 1 for size in inner]}' if inner else "take the field's shape out",
        )
    if not scalars or len(inner) != 1 or inner[0] not in (None, len(fields)):
        raise ContractInvalid(
            f"the model's input {port} takes {_shape(inner)} a row, and {len(fields)} fields are left for it: "
            f"{', '.join(names[:8])}{' …' if len(names) > 8 else ''}",
            path="inputs",
            help=f"list its fields: --bind {port.name}=FIELD,FIELD,… , or change the contract's inputs",
        )
    return InputBinding(port.name, names, port.dtype, stack=True)


def _outputs(contract: Contract, ports: Sequence[Port], bind: Bind) -> list[OutputBinding]:
    by_name = {port.name: port for port in ports}
    chosen: dict[str, OutputBinding] = {}
    for name, (source, column) in bind.outputs.items():
        if source not in by_name:
            raise ContractInvalid(
                f"--bind {name}={source}: the model has no output {source!r}",
                path=f"outputs.{name}",
                help=nearest(source, by_name) or f"the model gives {_list(ports)}",
            )
        if column is None and not next(item for item in contract.outputs if item.name == name).shape:
            column = 0 if _column_of_one(by_name[source]) else None
        chosen[name] = OutputBinding(name, source, column)
    left = [item for item in contract.outputs if item.name not in chosen]
    for item in list(left):
        same = [port for port in ports if _alike(item.name, port.name) and _fits(item, port)]
        if len(same) == 1:
            chosen[item.name] = _output(item, same[0])
            left.remove(item)
    progress = True
    while left and progress:
        progress = False
        taken = {output.model_output for output in chosen.values()}
        for item in list(left):
            fit = [port for port in ports if port.name not in taken and _fits(item, port)]
            rivals = [other for other in left if other is not item and any(_fits(other, port) for port in fit)]
            if len(fit) == 1 and not rivals:
                chosen[item.name] = _output(item, fit[0])
                left.remove(item)
                progress = True
                break
    taken = {output.model_output for output in chosen.values()}
    wide = [port for port in ports if port.name not in taken and port.shape is not None and len(port.shape) == 2]
    scalar_floats = all(item.kind == "float" and not item.shape for item in left)
    if (
        len(left) > 1
        and scalar_floats
        and len(wide) == 1
        and wide[0].shape is not None
        and wide[0].shape[1] == len(left)
    ):
        chosen.update({item.name: OutputBinding(item.name, wide[0].name, index) for index, item in enumerate(left)})
        left = []
    if left:
        raise _unanswered(left[0], ports, taken)
    return [chosen[item.name] for item in contract.outputs]


def _alike(name: str, port: str) -> bool:
    """Whether a field is called as an output is; converters say probabilities where a field says probability."""
    return normal(name) in (normal(port), normal(port).replace("probabilities", "probability"))


def _output(item: Field, port: Port) -> OutputBinding:
    return OutputBinding(item.name, port.name, 0 if not item.shape and _column_of_one(port) else None)


def _column_of_one(port: Port) -> bool:
    return port.shape is not None and len(port.shape) == 2 and port.shape[1] == 1


def _fits(item: Field, port: Port) -> bool:
    """Whether the whole output may answer the field: the same family, the same shape a row."""
    if port.shape is None or _kind(port.dtype) != item.kind:
        return False
    inner = port.shape[1:] if port.shape else ()
    if not item.shape and inner in ((), (1,)):
        return True
    return len(inner) == len(item.shape) and all(a in (None, b) for a, b in zip(inner, item.shape, strict=True))


def _kind(dtype: str) -> str:
    if dtype.startswith(("int", "uint")):
        return "int"
    return "float" if dtype.startswith("float") else dtype


def _unanswered(item: Field, ports: Sequence[Port], taken: Iterable[str]) -> ContractInvalid:
    fit = [port for port in ports if _fits(item, port)]
    free = [port for port in fit if port.name not in set(taken)]
    wide = [
        port for port in ports if port.shape is not None and len(port.shape) == 2 and _kind(port.dtype) == item.kind
    ]
    if free or fit:
        why = (
            "more than one output of the model could answer it"
            if len(fit) > 1
            else "another field is answered by it too"
        )
        help = f"--bind {item.name}={(free or fit)[0].name}"
    elif not item.shape and wide:
        width = wide[0].shape[1] if wide[0].shape else None
        why = f"the model's output {wide[0]} has {width if width else 'several'} columns"
        help = f'--bind {item.name}={wide[0].name}[COLUMN], or give the field "shape": [{width or "N"}]'
    elif len(item.shape) == 1 and wide and wide[0].shape:
        why = f"the model's output {wide[0]} has another width"
        help = f'give the field "shape": [{wide[0].shape[1]}]'
    else:
        why = f"no output of the model is {'an' if item.kind == 'int' else 'a'} {item.kind} of that shape"
        help = _suggest(ports)
    return ContractInvalid(
        f"{item.dtype} {_shape(item.shape)} a row: {why}; the model gives {_list(ports)}",
        path=f"outputs.{item.name}",
        help=help,
    )


def _suggest(ports: Sequence[Port]) -> str:
    parts = []
    for port in ports:
        if port.shape is None:
            continue
        inner = list(port.shape[1:])
        shape = f', "shape": {[size or "N" for size in inner]}' if inner and inner != [1] else ""
        parts.append(f'{{"name": "{port.name}", "dtype": "{port.dtype}"{shape}}}'.replace("'N'", "N"))
    return f"outputs that the model can answer: {', '.join(parts)}"


def _shape(inner: Sequence[int | None]) -> str:
    return "one value" if not inner else str(["?" if size is None else size for size in inner]).replace("'", "")


def _list(ports: Sequence[Port]) -> str:
    return ", ".join(str(port) for port in ports[:8]) + (" …" if len(ports) > 8 else "")
