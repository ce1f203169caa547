"""Counts in, Vega-Lite specifications out: what each chart shows, without colours of light or dark, which the page adds."""

from curate.artifact import Receipt
from curate.funnel import reasons_by_step
from curate.report.values import Histogram

_WIDE: dict = {"width": "container", "autosize": {"type": "fit", "contains": "padding"}}
Spec = dict


def funnel(receipt: Receipt) -> Spec:
    """A waterfall: what each step let through, and beside it what each reason took away."""
    names = [step.name for step in receipt.steps]
    reasons = reasons_by_step(receipt.counts.dropped, names)
    rows = []
    for step in receipt.steps:
        end = step.into
        rows.append({"step": step.name, "what": "kept", "from": 0, "to": step.out, "documents": step.out})
        for reason, count in reasons.get(step.name, {}).items():
            rows.append({"step": step.name, "what": "dropped", "reason": reason, "from": end - count, "to": end, "documents": count})
            end -= count
    bars = {
        "mark": {"type": "bar", "stroke": {"expr": "ground"}, "strokeWidth": 0.5},
        "encoding": {"x2": {"field": "to"}, "color": _by_fate("what"), "tooltip": _told({"step": "nominal", "reason": "nominal", "documents": "quantitative"})},
    }
    numbers = {
        "transform": [{"filter": "datum.what === 'kept'"}],
        "mark": {"type": "text", "align": "left", "dx": 5, "color": {"expr": "ground"}},
        "encoding": {"text": {"field": "documents", "format": ","}},
    }
    y = {"field": "step", "type": "nominal", "sort": names, "title": None, "axis": {"labelLimit": 130, "labelOverlap": False}}
    x = {"field": "from", "type": "quantitative", "title": "units", "scale": {"nice": False}, "axis": {"tickCount": 5}}
    height = 26 * len(names) + 70
    return {**_WIDE, "height": height, "data": {"values": rows}, "encoding": {"x": x, "y": y}, "layer": [bars, numbers]}


def _told(fields: dict[str, str]) -> list[Spec]:
    """What a pointer is told; numbers with four digits."""
    return [{"field": name, "type": kind, **({"format": ",.4~g"} if kind == "quantitative" else {})} for name, kind in fields.items()]


def _by_fate(field: str) -> Spec:
    scale = {"domain": ["kept", "dropped"], "range": [{"expr": "kept"}, {"expr": "dropped"}]}
    return {"field": field, "type": "nominal", "scale": scale, "legend": {"orient": "top", "title": None}}


def histogram(found: Histogram) -> Spec:
    """Bars of kept and dropped documents, and a line at each limit."""
    bars = list(zip(found.edges, found.edges[1:], found.kept, found.dropped, strict=False))
    rows = [{"from": a, "to": b, "what": "kept", "low": 0, "high": kept, "documents": kept} for a, b, kept, _ in bars]
    rows += [{"from": a, "to": b, "what": "dropped", "low": kept, "high": kept + gone, "documents": gone} for a, b, kept, gone in bars]
    shown = [row for row in rows if row["documents"]]
    told = _told({"what": "nominal", "from": "quantitative", "to": "quantitative", "documents": "quantitative"})
    layers: list[Spec] = [
        {
            "data": {"values": shown},
            "mark": {"type": "bar", "stroke": {"expr": "ground"}, "strokeWidth": 0.3},
            "encoding": {
                "x": {"field": "from", "type": "quantitative", "title": found.name, "scale": {"zero": False, "nice": False}, "axis": {"tickCount": 5}},
                "x2": {"field": "to"},
                "y": {"field": "low", "type": "quantitative", "title": "units", "axis": {"tickCount": 4}},
                "y2": {"field": "high"},
                "color": _by_fate("what"),
                "tooltip": told,
            },
        }
    ]
    if all(edge.is_integer() for edge in found.edges):
        layers[0]["encoding"]["x"]["axis"] |= {"values": _whole_ticks(found.edges), "format": ",d"}
    inside = [mark for mark in found.marks if found.edges[0] <= mark.at <= found.edges[-1]]
    if inside:
        layers.append(_limits([{"from": mark.at, "limit": str(mark)} for mark in inside]))
    return {**_WIDE, "height": 200, "layer": layers}


def _whole_ticks(edges: list[float]) -> list[int]:
    """At most six whole numbers from the first edge on, round steps apart."""
    first, last = int(edges[0]), int(edges[-1])
    step = next(step for power in range(20) for factor in (1, 2, 5) if (step := factor * 10**power) * 5 >= last - first)
    return list(range(-(-first // step) * step, last + 1, step))


def _limits(rows: list[Spec]) -> Spec:
    return {
        "data": {"values": rows},
        "mark": {"type": "rule", "strokeWidth": 2, "strokeDash": [5, 3], "color": {"expr": "limit"}},
        "encoding": {"x": {"field": "from", "type": "quantitative"}, "tooltip": [{"field": "limit", "type": "nominal"}]},
    }


def clusters(sizes: dict[str, int]) -> Spec:
    """Clusters by their size, on a scale of logarithms: most are small."""
    rows = [{"size": int(size), "clusters": count} for size, count in sorted(sizes.items(), key=lambda item: int(item[0])) if int(size) > 1]
    axis = {"type": "quantitative", "title": "clusters", "scale": {"type": "symlog"}, "axis": {"tickCount": 4}}
    return {
        **_WIDE,
        "height": 150,
        "data": {"values": rows},
        "mark": {"type": "bar", "color": {"expr": "dropped"}},
        "encoding": {
            "x": {"field": "size", "type": "ordinal", "title": "documents in the cluster", "axis": {"labelAngle": 0, "labelOverlap": True}},
            "y": {**axis, "field": "clusters"},
            "tooltip": [{"field": "size"}, {"field": "clusters"}],
        },
    }


def shares(rows: list[dict]) -> Spec:
    """Asked and achieved parts of a mixture, `{source, what, share}` each."""
    colours = {"domain": ["asked", "achieved"], "range": [{"expr": "dropped"}, {"expr": "kept"}]}
    return {
        **_WIDE,
        "height": 16 * len(rows) + 90,
        "data": {"values": rows},
        "mark": "bar",
        "encoding": {
            "y": {"field": "source", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 180, "labelOverlap": False}},
            "yOffset": {"field": "what", "scale": {"domain": colours["domain"]}},
            "x": {"field": "share", "type": "quantitative", "title": "share of the split", "axis": {"format": "%", "tickCount": 5}},
            "color": {"field": "what", "type": "nominal", "scale": colours, "legend": {"orient": "top", "title": None}},
            "tooltip": [{"field": "source"}, {"field": "what"}, {"field": "share", "type": "quantitative", "format": ".2%"}],
        },
    }


def reliability(table: list[dict]) -> Spec:
    """What a judge said against what was seen, with intervals; on the diagonal they are the same."""
    rows = [{"said": row["said"], **{name: row["seen"][name] for name in ("value", "low", "high")}, "pairs": row["n"]} for row in table]
    unit = {"type": "quantitative", "scale": {"domain": [0, 1]}, "axis": {"format": "%", "tickCount": 5}}
    x, y = {**unit, "field": "said", "title": "said"}, {**unit, "title": "seen"}
    line = {"data": {"values": [{"said": 0, "value": 0}, {"said": 1, "value": 1}]}, "mark": {"type": "line", "strokeDash": [4, 3], "color": {"expr": "limit"}}}
    spread = {"data": {"values": rows}, "mark": {"type": "rule", "color": {"expr": "kept"}}}
    points = {"data": {"values": rows}, "mark": {"type": "point", "filled": True, "size": 60, "color": {"expr": "kept"}}}
    encodings = (
        {"x": x, "y": {**y, "field": "value"}},
        {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        {"x": x, "y": {**y, "field": "value"}, "tooltip": [{"field": name, "type": "quantitative", "format": ".3~f"} for name in ("said", "value", "pairs")]},
    )
    layers = [{**layer, "encoding": encoding} for layer, encoding in zip((line, spread, points), encodings, strict=True)]
    return {**_WIDE, "height": 220, "layer": layers}
