"""Colours and marks: one style for each kind of model, so that no figure needs more styles than there are kinds."""

from dataclasses import dataclass

INK, SOFT, GRID, FADED = "#1b1f24", "#57606a", "#d4d9df", "#b9c1ca"
SERIES = ("#0b62a8", "#c2410c", "#0f7b5f", "#a6337f", "#8a6500", "#3f7fb8", "#6b4fb3", "#5c6670")
DARK = {
    INK: "#e6e9ed",
    SOFT: "#a3adb8",
    GRID: "#363d46",
    FADED: "#566070",
    **dict(
        zip(
            SERIES,
            ("#6cb2f0", "#f59a6a", "#4fc7a1", "#e38ac4", "#d9b44a", "#a5cdf0", "#b5a0ee", "#aab4bf"),
            strict=True,
        )
    ),
}
"""Light colour -> the one that takes its place on a dark page."""
VARIABLES = {INK: "--ink", SOFT: "--soft", GRID: "--line", FADED: "--faded"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)
}
"""Light colour -> the page's variable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How the models of one kind are drawn, in every figure."""

    name: str
    """Of the models, in the plural."""
    colour: str
    mark: str
    """Path around (0, 0), about 10 wide."""
    mark_name: str


STYLES = {
    "rank": Style(
        name="ranking language models",
        colour=SERIES[0],
        mark="M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z",
        mark_name="circle",
    ),
    "bi_encoder": Style(name="bi-encoders", colour=SERIES[1], mark="M0-6L6 5H-6Z", mark_name="triangle"),
    "fusion": Style(
        name="fusions of several runs", colour=SERIES[3], mark="M0-6.5L6.5 0L0 6.5L-6.5 0Z", mark_name="diamond"
    ),
    "baseline": Style(name="simple models", colour=SERIES[7], mark="M-4.5-4.5h9v9h-9Z", mark_name="square"),
    "oracle": Style(name="the oracle, a bound", colour=INK, mark="M-1.5-7h3v14h-3Z", mark_name="bar"),
}
OTHER = Style(name="other models", colour=SERIES[2], mark="M0 6L6-5H-6Z", mark_name="triangle upside down")


def style_of(kind: str | None) -> Style:
    return STYLES.get(kind or "", OTHER)
