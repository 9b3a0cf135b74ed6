"""Who is connected with whom, who works in this round, who is suspect: drawn, and in words."""

from nicegui import ui

from gossipd_dashboard import words
from gossipd_dashboard.charts import BLUE, GREEN, GRID, PURPLE, VERMILLION
from gossipd_dashboard.feed import Document, Feed
from gossipd_dashboard.network import HEIGHT, WIDTH, Link, Node, of_fleet, of_one
from gossipd_dashboard.page import TICK_SECONDS, Page
from gossipd_dashboard.parts import Empty, Rows, card, say

# state of a node -> (shape, colour, what the legend says)
LOOKS = {
    "self": ("roundRect", BLUE, "this device"),
    "aggregator": ("diamond", PURPLE, "averages this round"),
    "trainer": ("triangle", GREEN, "trains in this round"),
    "idle": ("circle", "#7A8699", "connected"),
    "suspect": ("pin", VERMILLION, "suspect: has broken rules"),
    "gone": ("emptyCircle", "#7A8699", "not reachable"),
}


def topology(page: Page) -> None:
    with card("Topology", wide=True):
        told = say()
        chart = ui.echart(_options(), renderer="svg").classes("chart graph")
        chart.props(
            'role="img" aria-label="Connections between peers; the table below says the same"'
        )
        empty = Empty()
        with ui.element("div").classes("legend"):
            for look, (_, colour, meaning) in LOOKS.items():
                with ui.element("div").classes("legend-item"):
                    ui.element("span").classes(f"shape shape-{look}").style(f"--shape: {colour}")
                    ui.label(meaning)
    with card("The same in words", wide=True):
        rows = Rows(
            [("name", "Device", False), ("look", "In this round", False), ("links", "Links", True)],
            key="id",
        )
    shown: list[object] = [None]

    def show(feed: Feed) -> None:
        if page.fleet.several:
            nodes, links = of_fleet(page.fleet)
        elif feed.status is not None and "peers" in feed.answers:
            nodes, links = of_one(feed)
        else:
            return
        told.text = _round(feed)
        counts = {node.id: sum(node.id in link for link in links) for node in nodes}
        rows.show(
            [
                {
                    "id": node.id,
                    "name": node.name,
                    "look": LOOKS[node.look][2],
                    "links": counts[node.id],
                }
                for node in nodes
            ]
        )
        chart.visible = len(nodes) > 1
        if len(nodes) > 1:
            empty.hide()
        else:
            empty.show("Nobody is known yet", "`gossipd start` on another device, or invite one.")
        if shown[0] != (nodes, links):
            shown[0] = (nodes, links)
            series = chart.options["series"][0]
            series["data"] = [_drawn(node, len(nodes)) for node in nodes]
            series["links"] = [_line(link) for link in links]
            chart.update()

    page.every(show, "peers", "members")
    if page.fleet.several:
        ui.timer(TICK_SECONDS, lambda: _want_all(page))


def _want_all(page: Page) -> None:
    for feed in page.fleet.feeds.values():
        feed.want("peers")


def _round(feed: Feed) -> str:
    if feed.status is None:
        return ""
    playing = feed.status.get("round")
    if playing is None:
        return "Mode gossip: each device on its own clock, there are no rounds."
    return (
        f"Round {playing['number']:,}: {words.count(len(playing['sample']), 'device')} in the "
        f"sample, this one is {words.clean(playing['role'])}."
    )


def _options() -> Document:
    return {
        "animation": False,
        "tooltip": {"confine": True},
        "grid": {"left": 60, "right": 60, "top": 24, "bottom": 40},
        "xAxis": {"show": False, "min": -WIDTH, "max": WIDTH},
        "yAxis": {"show": False, "min": -HEIGHT, "max": HEIGHT},
        "series": [
            {
                "type": "graph",
                "layout": "none",
                "coordinateSystem": "cartesian2d",
                "data": [],
                "links": [],
                "label": {"show": True, "position": "bottom", "fontSize": 12},
                "lineStyle": {"color": GRID.replace(".22", ".6"), "width": 1.5},
            }
        ],
    }


def _drawn(node: Node, count: int) -> Document:
    shape, colour, _ = LOOKS[node.look]
    return {
        "id": node.id,
        "name": node.name,
        "value": [node.x, node.y],
        "symbol": shape,
        "symbolSize": 26 if count <= 30 else 14,
        "itemStyle": {"color": colour},
    }


def _line(link: Link) -> Document:
    source, target = link
    return {"source": source, "target": target, "tooltip": {"show": False}}
