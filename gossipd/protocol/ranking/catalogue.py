"""The items that there are, and what is said of each in words: found without anybody's clicks."""

from collections.abc import Collection, Iterable, Iterator

from gossipd.wire.clicks import words

NONE: frozenset[bytes] = frozenset()


class Catalogue:
    """Items by the words of their metadata."""

    def __init__(self) -> None:
        self._words: dict[bytes, frozenset[str]] = {}
        self._items: dict[str, set[bytes]] = {}

    def __contains__(self, item: bytes) -> bool:
        return item in self._words

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)

    def put(self, item: bytes, texts: Iterable[str]) -> None:
        """It exists, and this is said of it now."""
        said = words(texts)
        before = self._words.get(item)
        if before == said:
            return
        if before is not None:
            self.drop(item)
        self._words[item] = said
        for word in said:
            self._items.setdefault(word, set()).add(item)

    def drop(self, item: bytes) -> None:
        for word in self._words.pop(item, frozenset()):
            self._items[word].discard(item)
            if not self._items[word]:
                del self._items[word]

    def matching(self, query: str) -> Collection[bytes]:
        """The items whose metadata have every word of the query; none for a query without any."""
        found = sorted((self._items.get(word, NONE) for word in query.split()), key=len)
        return found[0].intersection(*found[1:]) if found else NONE
