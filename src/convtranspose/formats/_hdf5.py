"""A reader of HDF5 files in Python alone: the part of the format that Keras files use.

Model files come from strangers, and a damaged file must end in an error message. The HDF5 library
believes lengths and addresses that it has not checked: turning single bytes of a small Keras file
made it hang or crash the process, which no caller can catch. Here every byte goes through
:meth:`File.read`, which knows where the file ends; every structure is visited at most once; and
nothing is allocated that the file does not hold. Writing is h5py's work.

Read are: superblocks 0 to 3, groups of both kinds (not the dense one of very large "latest"
groups), attributes in object headers, strings of fixed and variable length, integers, floating-point
numbers, bfloat16, and datasets that are compact, contiguous or in chunks (shuffled, deflated). Links
to elsewhere, external data and virtual datasets are refused: they would leave the file.

Source: *HDF5 File Format Specification Version 3.0*, The HDF Group.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from convtranspose.errors import FormatError

__all__ = ["SIGNATURE", "File", "Node"]

Array = np.ndarray[Any, np.dtype[Any]]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT = 0x01, 0x02, 0x03, 0x06, 0x07, 0x08
_FILTERS, _ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE, _ATTRIBUTE_INFO = 0x0B, 0x0C, 0x10, 0x11, 0x15
_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_MOST_DEFLATE = 1032  # the most that one byte of a deflated stream can become
_NEW_STYLE = "It was written with libver='latest' or track_order=True; write it again without them."


class _Cursor:
    """Numbers and bytes of a block, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.left:
            raise FormatError(f"a structure of {len(self.data)} bytes needs {count} more than it has.")
        self.at += count
        return self.data[self.at - count : self.at]

    def u(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def skip(self, count: int) -> None:
        self.take(count)

    def align(self) -> None:
        self.skip(-self.at % 8)


@dataclass(frozen=True)
class _Type:
    """A datatype: ``kind`` is "number", "bfloat16", "string", "variable string" or "other"."""

    kind: str
    size: int
    numpy: np.dtype[Any] | None = None


class File:
    """An HDF5 file.

    Parameters
    ----------
    file : binary file
        Open for reading, seekable.

    Attributes
    ----------
    root : Node
        The outermost group.

    Raises
    ------
    FormatError
        If it is no HDF5 file, or shorter than it says.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, 2)
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        if self._size < 48 or self.read(0, 8) != SIGNATURE:
            raise FormatError("it does not begin like an HDF5 file.")
        version = self.read(8, 1)[0]
        if version in (0, 1):
            sizes = _Cursor(self.read(13, 2))
            self.offsets, self.lengths = sizes.u(1), sizes.u(1)
            start = 24 if version == 0 else 28
        elif version in (2, 3):
            sizes = _Cursor(self.read(9, 2))
            self.offsets, self.lengths = sizes.u(1), sizes.u(1)
            start = 12
        else:
            raise FormatError(f"the HDF5 superblock has the unknown version {version}.")
        if self.offsets not in (2, 4, 8) or self.lengths not in (2, 4, 8):
            raise FormatError("the sizes of HDF5 offsets and lengths are unknown.")
        head = _Cursor(self.read(start, 6 * self.offsets))
        base, _, end = (head.u(self.offsets) for _ in range(3))
        if base:
            raise FormatError("HDF5 files with a user block before the data are not read.")
        if end > self._size:
            raise FormatError(f"it is truncated: {self._size} of {end} bytes are there.")
        root = head.u(self.offsets)
        if version < 2:  # here stands the driver block; then a symbol table entry: name, header
            head.skip(self.offsets)
            root = head.u(self.offsets)
        self.root = Node(self, root, "")

    def read(self, at: int, count: int) -> bytes:
        """Bytes of the file, all of them there."""
        if at < 0 or count < 0 or at + count > self._size:
            raise FormatError(f"it points at bytes {at} to {at + count}, but has {self._size}.")
        self._file.seek(at)
        data = self._file.read(count)
        if len(data) != count:
            raise FormatError(f"it is truncated at byte {at + len(data)}.")
        return data

    def cursor(self, at: int, count: int, mark: bytes = b"") -> _Cursor:
        """A block that begins with a signature."""
        found = _Cursor(self.read(at, count))
        if found.take(len(mark)) != mark:
            raise FormatError(f"the block at byte {at} does not begin with {mark.decode()}.")
        return found

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self._size

    def undefined(self, address: int) -> bool:
        """Whether an address stands for none."""
        return address == (1 << 8 * self.offsets) - 1

    # Object headers

    def messages(self, address: int) -> list[tuple[int, _Cursor]]:
        """The messages of an object header: their types and contents."""
        version2 = self.read(address, 4) == b"OHDR"
        if version2:
            head = self.cursor(address, min(32, self._size - address), b"OHDR")
            if head.u(1) != 2:
                raise FormatError("an object header has an unknown version.")
            flags = head.u(1)
            head.skip((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
            size = head.u(1 << (flags & 3))
            blocks = [(address + head.at, size)]
            prefix = 6 if flags & 4 else 4
        else:
            head = self.cursor(address, 16)
            if head.u(1) != 1:
                raise FormatError(f"the object header at byte {address} has an unknown version.")
            head.skip(7)
            blocks = [(address + 16, head.u(4))]
            prefix = 8
        found: list[tuple[int, _Cursor]] = []
        seen = set()
        for at, size in blocks:  # grows while it is walked: continuations
            if at in seen:
                raise FormatError("an object header continues in a circle.")
            seen.add(at)
            block = self.cursor(at, size)
            while block.left >= prefix:
                if version2:
                    kind, length, flags = block.u(1), block.u(2), block.u(1)
                    block.skip(prefix - 4)
                else:
                    kind, length, flags = block.u(2), block.u(2), block.u(1)
                    block.skip(3)
                content = _Cursor(block.take(length))
                if kind == _CONTINUATION:
                    there, extent = content.u(self.offsets), content.u(self.lengths)
                    if version2:  # between a signature and a checksum
                        self.cursor(there, 4, b"OCHK")
                        there, extent = there + 4, extent - 8
                    blocks.append((there, extent))
                elif flags & 2 and kind in (_DATASPACE, _DATATYPE, _LAYOUT, _FILTERS, _ATTRIBUTE):
                    raise FormatError("shared object header messages are not read.")
                else:
                    found.append((kind, content))
        return found

    # Groups

    def symbol_table(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """Names and header addresses of an old-style group."""
        head = self.cursor(heap, 8 + 2 * self.lengths + self.offsets, b"HEAP")
        head.skip(4)
        size = head.u(self.lengths)
        head.skip(self.lengths)
        names = self.read(head.u(self.offsets), size)
        for node in self._leaves(tree, 0):
            table = self.cursor(node, 8, b"SNOD")
            table.skip(2)
            count = table.u(2)
            entry = 2 * self.offsets + 24
            rows = self.cursor(node + 8, count * entry)
            for _ in range(count):
                name, header, cached = rows.u(self.offsets), rows.u(self.offsets), rows.u(4)
                rows.skip(20)
                if cached == 2:
                    raise FormatError("it holds a symbolic link; only plain members are read.")
                end = names.find(b"\0", name)
                if name > len(names) or end < 0:
                    raise FormatError("the name of a group member is damaged.")
                yield _text(names[name:end]), header

    def _leaves(self, address: int, kind: int, rank: int = 0) -> Iterator[Any]:
        """Children of the lowest nodes of a version 1 B-tree; with their keys for chunks."""
        key = 8 + 8 * (rank + 1) if kind == 1 else self.lengths
        todo, seen = [(address, 64)], set()
        while todo:
            at, above = todo.pop()
            if at in seen:
                raise FormatError("a B-tree meets itself.")
            seen.add(at)
            node = self.cursor(at, 8 + 2 * self.offsets, b"TREE")
            found, level, count = node.u(1), node.u(1), node.u(2)
            if found != kind or level >= above:
                raise FormatError("a B-tree is damaged.")
            rows = self.cursor(at + 8 + 2 * self.offsets, count * (key + self.offsets))
            for _ in range(count):
                row = _Cursor(rows.take(key))
                child = rows.u(self.offsets)
                if level:
                    todo.append((child, level))
                else:
                    yield (row, child) if kind == 1 else child

    # Types and values

    def datatype(self, c: _Cursor) -> _Type:
        """A datatype message."""
        head, bits, size = c.u(1), c.u(3), c.u(4)
        kind = head & 15
        order = ">" if bits & 1 else "<"
        if kind == 0 and size in (1, 2, 4, 8):
            c.skip(4)
            return _Type("number", size, np.dtype(f"{order}{'i' if bits & 8 else 'u'}{size}"))
        if kind == 1:
            c.skip(5)
            exponent, _, mantissa = c.u(1), c.u(1), c.u(1)
            c.skip(4)
            if (size, exponent, mantissa) in ((2, 5, 10), (4, 8, 23), (8, 11, 52)):
                return _Type("number", size, np.dtype(f"{order}f{size}"))
            if (size, exponent, mantissa) == (2, 8, 7):
                return _Type("bfloat16", size, np.dtype(f"{order}u2"))
        if kind == 3:
            return _Type("string", size)
        if kind == 5 and size == 2:  # ml_dtypes.bfloat16 through h5py; an attribute says so
            return _Type("bfloat16", size, np.dtype("<u2"))
        if kind == 8 and size:
            base = self.datatype(c)
            if base.kind == "number":
                return base
        if kind == 9 and bits & 15 == 1 and size == 8 + self.offsets:
            return _Type("variable string", size)
        return _Type("other", size)

    def dataspace(self, c: _Cursor) -> tuple[int, ...] | None:
        """A shape; ``None`` for the empty dataspace."""
        version, rank, _ = c.u(1), c.u(1), c.u(1)
        if version == 1:
            c.skip(5)
        elif version != 2 or rank > 32:
            raise FormatError("a dataspace is damaged.")
        elif c.u(1) == 2:
            return None
        return tuple(c.u(self.lengths) for _ in range(rank))

    def text(self, address: int, index: int) -> bytes:
        """A string of variable length, from a global heap collection."""
        if address not in self._heaps:
            head = self.cursor(address, 8 + self.lengths, b"GCOL")
            head.skip(4)
            block = self.cursor(address, head.u(self.lengths))
            block.skip(8 + self.lengths)
            found: dict[int, tuple[int, int]] = {}
            while block.left >= 8 + self.lengths:
                number = block.u(2)
                block.skip(6)
                size = block.u(self.lengths)
                if number == 0:  # the free rest
                    break
                found[number] = (address + block.at, size)
                block.skip(size)
                block.skip(min(-size % 8, block.left))
            self._heaps[address] = found
        if index not in self._heaps[address]:
            raise FormatError("a string is missing from its heap.")
        return self.read(*self._heaps[address][index])


class Node:
    """A group or a dataset.

    Parameters
    ----------
    file : File
        Where it lives.
    address : int
        Of its object header.
    path : str
        Its name from the root, for messages.
    """

    def __init__(self, file: File, address: int, path: str) -> None:
        self.path = path
        self._file = file
        self._messages = file.messages(address)
        self._attributes: dict[str, _Cursor] | None = None
        self._links: dict[str, int] | None = None

    def _message(self, kind: int) -> _Cursor | None:
        for found, content in self._messages:
            if found == kind:
                content.at = 0
                return content
        return None

    @property
    def is_dataset(self) -> bool:
        """Whether it is an array (else it is a group)."""
        return self._message(_LAYOUT) is not None

    # Attributes

    def attribute(self, name: str) -> Any:
        """An attribute: a string, a number, a list of them; ``None`` where there is none."""
        if self._attributes is None:
            self._attributes = dict(self._read_attributes())
        content = self._attributes.get(name)
        if content is None:
            return None
        content.at = 0
        return self._value(content)

    def _read_attributes(self) -> Iterator[tuple[str, _Cursor]]:
        for kind, content in self._messages:
            if kind == _ATTRIBUTE_INFO:
                content.at = 1
                content.skip(2 if content.u(1) & 1 else 0)
                if not self._file.undefined(content.u(self._file.offsets)):
                    raise FormatError(f"the attributes of '{self.path}/' are stored densely. {_NEW_STYLE}")
            if kind != _ATTRIBUTE:
                continue
            content.at = 0
            version, flags, size = content.u(1), content.u(1), content.u(2)
            content.skip(4 if version < 3 else 5)
            if version not in (1, 2, 3) or (version > 1 and flags & 3):
                raise FormatError("an attribute has an unknown form.")
            yield _text(content.take(size).split(b"\0")[0]), content

    def _value(self, content: _Cursor) -> Any:
        version, _, name, kind_size, space_size = (content.u(n) for n in (1, 1, 2, 2, 2))
        content.skip(1 if version == 3 else 0)
        blocks = []
        for size in (name, kind_size, space_size):
            blocks.append(_Cursor(content.take(size)))
            if version == 1:
                content.skip(min(-size % 8, content.left))
        kind, shape = self._file.datatype(blocks[1]), self._file.dataspace(blocks[2])
        if shape is None:
            return None
        count = 1
        for n in shape:
            count *= n
        if count * kind.size > content.left:
            raise FormatError(f"an attribute of '{self.path}/' is longer than its place.")
        values = self._values(kind, content, count)
        return values if shape else values[0]

    def _values(self, kind: _Type, content: _Cursor, count: int) -> list[Any]:
        if kind.kind == "number":
            found = np.frombuffer(content.take(count * kind.size), kind.numpy)
            return found.tolist()  # type: ignore[no-any-return]
        if kind.kind == "string":
            return [_text(content.take(kind.size).split(b"\0")[0]) for _ in range(count)]
        if kind.kind != "variable string":
            return [None] * count
        texts, total = [], 0
        for _ in range(count):
            length, address, index = content.u(4), content.u(self._file.offsets), content.u(4)
            raw = self._file.text(address, index) if length else b""
            total += len(raw)
            if len(raw) < length or total > self._file.size:  # many may point at one long string
                raise FormatError(f"a string attribute of '{self.path}/' is damaged.")
            texts.append(_text(raw[:length]))
        return texts

    # Groups

    @property
    def members(self) -> dict[str, int]:
        """Names of what a group holds, and where."""
        if self._links is None:
            self._links = {}
            for name, address in self._read_links():
                if name in self._links:
                    raise FormatError(f"'{self.path}/' holds two members {name!r}.")
                self._links[name] = address
        return self._links

    def _read_links(self) -> Iterator[tuple[str, int]]:
        file = self._file
        for kind, content in self._messages:
            content.at = 0
            if kind == _SYMBOL_TABLE:
                yield from file.symbol_table(content.u(file.offsets), content.u(file.offsets))
            elif kind == _LINK_INFO:
                content.skip(1)
                content.skip(8 if content.u(1) & 1 else 0)
                if not file.undefined(content.u(file.offsets)):
                    raise FormatError(f"the members of '{self.path}/' are stored densely. {_NEW_STYLE}")
            elif kind == _LINK:
                content.skip(1)
                flags = content.u(1)
                if flags & 8 and content.u(1) != 0:
                    raise FormatError("it holds a symbolic or external link; only plain members are read.")
                content.skip((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
                yield _text(content.take(content.u(1 << (flags & 3)))), content.u(file.offsets)

    def get(self, path: str) -> Node | None:
        """A member at a path like ``"layers/dense/vars"``; ``None`` where there is none."""
        node = self
        for name in path.split("/"):
            if name in ("", "."):
                continue
            if node.is_dataset or name not in node.members:
                return None
            node = Node(self._file, node.members[name], f"{node.path}/{name}".strip("/"))
        return node

    # Datasets

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a dataset."""
        space = self._message(_DATASPACE)
        shape = None if space is None else self._file.dataspace(space)
        if shape is None:
            raise FormatError(f"dataset {self.path!r} has no shape.")
        return shape

    def read(self) -> Array:
        """The array of a dataset, native-endian; bfloat16 becomes float32.

        The caller has compared :attr:`shape` with what he expects: that bounds the memory.
        """
        kind = self._message(_DATATYPE)
        layout = self._message(_LAYOUT)
        if kind is None or layout is None:
            raise FormatError(f"dataset {self.path!r} is damaged.")
        if self._message(_EXTERNAL) is not None:
            raise FormatError(f"dataset {self.path!r} has its data in another file.")
        dtype = self._file.datatype(kind)
        if dtype.numpy is None or (dtype.kind == "bfloat16" and not self._is_bfloat16(kind)):
            raise FormatError(f"dataset {self.path!r} does not hold numbers.")
        found = self._stored(layout, dtype.numpy)
        if dtype.kind == "bfloat16":
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(found.dtype.newbyteorder("="), copy=False)

    def _is_bfloat16(self, kind: _Cursor) -> bool:
        return kind.data[0] & 15 == 1 or self.attribute("dtype") == "bfloat16"

    def _stored(self, layout: _Cursor, dtype: np.dtype[Any]) -> Array:
        file, shape = self._file, self.shape
        size = dtype.itemsize
        for n in shape:
            size *= n
        if layout.u(1) not in (3, 4):
            raise FormatError(f"dataset {self.path!r} has a layout of an unknown version.")
        version4, way = layout.data[0] == 4, layout.u(1)
        if way == 0:
            raw = layout.take(layout.u(2))
        elif way == 1:
            address, stored = layout.u(file.offsets), layout.u(file.lengths)
            if stored != size:
                raise FormatError(f"dataset {self.path!r} of shape {shape} has {stored} bytes, not {size}.")
            raw = b"" if size == 0 else file.read(self._written(address), size)
        elif way == 2 and not version4:
            return self._chunks(layout, shape, dtype)
        else:
            raise FormatError(f"dataset {self.path!r} has an unknown layout. {_NEW_STYLE}")
        if len(raw) != size:
            raise FormatError(f"dataset {self.path!r} of shape {shape} has {len(raw)} bytes, not {size}.")
        return np.frombuffer(raw, dtype).reshape(shape)

    def _written(self, address: int) -> int:
        if self._file.undefined(address):
            raise FormatError(f"dataset {self.path!r} has never been written.")
        return address

    def _chunks(self, layout: _Cursor, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        file, rank = self._file, layout.u(1) - 1
        tree = self._written(layout.u(file.offsets))
        extent = tuple(layout.u(4) for _ in range(max(rank, 0)))
        if rank != len(shape) or 0 in extent or not shape:
            raise FormatError(f"dataset {self.path!r} has damaged chunks.")
        filters, bytes_each = self._filters(), dtype.itemsize
        places = set(itertools.islice(_grid(shape, extent), file.size))
        for n in extent:
            bytes_each *= n
        rows = []
        for key, address in file._leaves(tree, 1, rank):  # all are known before anything is allocated
            stored, mask = key.u(4), key.u(4)
            place = tuple(key.u(8) for _ in range(rank))
            if place not in places or bytes_each > _MOST_DEFLATE * stored + 64:
                raise FormatError(f"dataset {self.path!r} has a chunk that does not fit.")
            places.remove(place)
            rows.append((place, address, stored, mask))
        if places or sum(row[2] for row in rows) > file.size:
            raise FormatError(f"dataset {self.path!r} is not complete.")
        out = np.empty(shape, dtype)
        for place, address, stored, mask in rows:
            raw = file.read(address, stored)
            for n, one in reversed(list(enumerate(filters))):
                if not mask >> n & 1:
                    raw = self._unfilter(one, raw, bytes_each, dtype.itemsize)
            if len(raw) != bytes_each:
                raise FormatError(f"dataset {self.path!r} has a chunk of a wrong length.")
            chunk = np.frombuffer(raw, dtype).reshape(extent)
            ends = tuple(min(e, n - p) for e, n, p in zip(extent, shape, place, strict=True))
            target = tuple(slice(p, p + e) for p, e in zip(place, ends, strict=True))
            out[target] = chunk[tuple(slice(e) for e in ends)]
        return out

    def _filters(self) -> list[int]:
        message = self._message(_FILTERS)
        if message is None:
            return []
        version, count = message.u(1), message.u(1)
        message.skip(6 if version == 1 else 0)
        found = []
        for _ in range(count):
            one = message.u(2)
            name = message.u(2) if version == 1 or one >= 256 else 0
            message.skip(2)
            values = message.u(2)
            message.skip(name + -name % 8 if version == 1 else name)
            message.skip(4 * (values + (values & 1 if version == 1 else 0)))
            if one not in (_DEFLATE, _SHUFFLE, _FLETCHER32):
                raise FormatError(f"dataset {self.path!r} is compressed by the unknown filter {one}.")
            found.append(one)
        return found

    def _unfilter(self, one: int, raw: bytes, most: int, itemsize: int) -> bytes:
        if one == _DEFLATE:
            try:
                return zlib.decompressobj().decompress(raw, most + 8)
            except zlib.error as error:
                raise FormatError(f"dataset {self.path!r} is damaged: {error}.") from None
        if one == _FLETCHER32:
            return raw[:-4]
        if len(raw) % itemsize:
            raise FormatError(f"dataset {self.path!r} has a chunk of a wrong length.")
        return np.frombuffer(raw, np.uint8).reshape(itemsize, -1).T.tobytes()


def _grid(shape: tuple[int, ...], extent: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(0, n, e) for n, e in zip(shape, extent, strict=True)))


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise FormatError("a name or a text is not valid UTF-8.") from None
