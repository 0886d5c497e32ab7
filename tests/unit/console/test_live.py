"""The stream of a page: only what changed is sent, and each viewer gets their own token."""

import asyncio
import json

from markupsafe import Markup

from penstock.console.live import Parts, Rendered, changes


def rendered(rows, around="<p>{}</p>"):
    parts = Parts()

    def mark(name, text):
        return parts.part(name, lambda: Markup(f'<b id="{name}">{text}</b>'))

    return Rendered(around.format("".join(mark(*row) for row in rows.items())), parts.found)


def streamed(*looks, personal=lambda text: text):
    """The events of these looks, one after the other."""
    left = list(looks)

    async def collect():
        rest = changes(lambda: left.pop(0), every_s=0, still=lambda: bool(left), personal=personal)
        return [event async for event in rest]

    events = []
    for text in asyncio.run(collect()):
        kind, _, data = text.strip().partition("\ndata: ")
        events.append((kind.removeprefix("event: "), json.loads(data) if data else None))
    return events


def test_first_the_whole_then_what_changed():
    first, second = rendered({"a": "1", "b": "1"}), rendered({"a": "1", "b": "2"})
    assert streamed(first, second, second) == [
        ("whole", '<p><b id="a">1</b><b id="b">1</b></p>'),
        ("parts", {"b": '<b id="b">2</b>'}),
    ]


def test_another_order_or_another_frame_is_sent_as_a_whole():
    first, turned, framed = (
        rendered({"a": "1", "b": "1"}),
        rendered({"b": "1", "a": "1"}),
        rendered({"b": "1", "a": "1"}, "<i>{}</i>"),
    )
    assert [kind for kind, _ in streamed(first, turned, framed)] == ["whole"] * 3


def test_a_silent_stream_is_kept_open():
    assert streamed(*[rendered({"a": "1"})] * 17)[1:] == [(": still here", None)]


def test_each_viewer_gets_what_is_theirs():
    same = rendered({"a": "csrf-mark"})
    assert streamed(same, personal=lambda text: text.replace("csrf-mark", "of-ann")) == [
        ("whole", '<p><b id="a">of-ann</b></p>')
    ]


def test_text_with_a_mark_in_it_does_not_move_the_parts():
    page = rendered({"a": "\x00b\x00", "b": "2"})
    assert page.whole == '<p><b id="a">\x00b\x00</b><b id="b">2</b></p>'
