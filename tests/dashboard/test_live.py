"""News for open pages."""

from __future__ import annotations

import asyncio

from edge.dashboard.live import MOST_WAITING, LiveNews, News


def test_a_page_gets_what_happened_since_it_opened() -> None:
    async def scene() -> None:
        live = LiveNews()
        live.tell(News("result", "box", "top"))
        reader = live.open()
        live.tell(News("state", "box", "top"))
        await asyncio.to_thread(live.tell, News("alerts", "box", "top"))
        assert [news.kind for news in await reader.take(5)] == ["state", "alerts"]
        assert await reader.take(0.01) == []
        live.close(reader)
        live.tell(News("result"))
        assert (live.readers, await reader.take(0.01)) == (0, [])

    asyncio.run(scene())


def test_a_page_that_missed_news_is_told_to_load_anew() -> None:
    async def scene() -> None:
        live = LiveNews()
        slow, quick = live.open(), live.open()
        for number in range(MOST_WAITING + 1):
            live.tell(News("result", "box", str(number)))
            if number == 0:
                assert len(await quick.take(5)) == 1
        assert [news.kind for news in await slow.take(5)] == ["reload"]
        assert len(await quick.take(5)) == MOST_WAITING
        live.tell(News("state"))
        assert [news.kind for news in await slow.take(5)] == ["state"]

    asyncio.run(scene())
