"""The items that there are, and what is said of each in words: found without anybody's clicks.

Most of what comes to be known in a large swarm nobody ever looks for: what is new is put into words
when somebody looks.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from gossipd.wire.clicks import words

NONE: frozenset[bytes] = frozenset()
News = Iterable[tuple[bytes, Iterable[str]]]
"""Items, and what is said of each."""


class Catalogue:
    """Items by the words of their metadata."""

    def __init__(self, news: Callable[[], News] = tuple) -> None:
        """`news`: what has come to be, or to be said otherwise, since it was called last; asked
        before every look."""
        self._news = news
        self._words: dict[bytes, frozenset[str]] = {}
        self._items: dict[str, set[bytes]] = {}

    def __contains__(self, item: bytes) -> bool:
        self._catch_up()
        return item in self._words

    def __iter__(self) -> Iterator[bytes]:
        self._catch_up()
        return iter(self._words)

    def __len__(self) -> int:
        self._catch_up()
        return len(self._words)

    def _catch_up(self) -> None:
        for item, texts in self._news():
            self.put(item, texts)

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
        self._catch_up()
        found = sorted((self._items.get(word, NONE) for word in query.split()), key=len)
        return found[0].intersection(*found[1:]) if found else NONE
