"""A line of algebra as MathML: sums, products, fractions and powers as `elbolab.symbolic` writes them."""

import html
import re

_TOKEN = re.compile(r"\s*(\d+\.?\d*|[^\W\d_][\w]*?[₀-₉]*(?![\w])|[-+·*/^()\[\]²⁴=]|\*\*)")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_POWERS = {"²": "2", "⁴": "4"}
_SUMS, _PRODUCTS = ("+", "-"), ("·", "*", "/")
_CLOSES = {"(": ")", "[": "]"}


def math(line: str) -> str:
    """A block of MathML; a line that is no such algebra stands in it as text."""
    try:
        sides = [_Reader(side).whole() for side in line.split(" = ")]
        inner = "<mo>=</mo>".join(sides)
    except ValueError:
        inner = f"<mtext>{html.escape(line)}</mtext>"
    return f'<math display="block">{inner.replace("<mo>-</mo>", "<mo>−</mo>")}</math>'


class _Reader:
    """Reads an expression by recursive descent, and writes each part as it is read."""

    def __init__(self, text: str) -> None:
        self.tokens, at = [], 0
        text = text.strip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                raise ValueError(f"{text[at:]} is no algebra")
            self.tokens.append(found[1])
            at = found.end()
        self.at = 0

    @property
    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.next
        if not token:
            raise ValueError("the expression ends early")
        self.at += 1
        return token

    def whole(self) -> str:
        found = self.sum()
        if self.next:
            raise ValueError(f"{self.next} is left over")
        return found

    def sum(self) -> str:
        parts = [f"<mo>{self.take()}</mo>" if self.next in _SUMS else "", self.product()]
        while self.next in _SUMS:
            parts += [f"<mo>{self.take()}</mo>", self.product()]
        return f"<mrow>{''.join(parts)}</mrow>"

    def product(self) -> str:
        found = self.power()
        while self.next and self.next not in (*_SUMS, ")", "]", "="):
            sign = self.take() if self.next in _PRODUCTS else ""
            other = self.power()
            found = f"<mfrac>{found}{other}</mfrac>" if sign == "/" else f"<mrow>{found}<mo>&#8290;</mo>{other}</mrow>"
        return found

    def power(self) -> str:
        found = self.atom()
        while self.next in ("^", "**", *_POWERS):
            sign = self.take()
            exponent = f"<mn>{_POWERS[sign]}</mn>" if sign in _POWERS else self.exponent()
            found = f"<msup>{found}{exponent}</msup>"
        return found

    def exponent(self) -> str:
        if self.next == "-":
            return f"<mrow><mo>{self.take()}</mo>{self.atom()}</mrow>"
        if self.next == "(":  # what is raised needs no brackets
            self.take()
            found = self.sum()
            self.closed("(")
            return found
        return self.atom()

    def atom(self) -> str:
        token = self.take()
        if token in _CLOSES:
            found = self.sum()
            self.closed(token)
            return f"<mrow><mo>{token}</mo>{found}<mo>{_CLOSES[token]}</mo></mrow>"
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if not token[0].isalpha():
            raise ValueError(f"{token} where a number or a name is due")
        return _name(token)

    def closed(self, token: str) -> None:
        if self.take() != _CLOSES[token]:
            raise ValueError(f"{token} is not closed")


def _name(token: str) -> str:
    found = re.fullmatch(r"(.*?)([₀-₉]+)", token)
    if found:
        return f"<msub><mi>{html.escape(found[1])}</mi><mn>{found[2].translate(_SUBSCRIPTS)}</mn></msub>"
    word = len(token) > 3 or token.isupper()
    tag = "mtext" if word and token not in ("log", "exp") else "mi"
    return f"<{tag}>{html.escape(token)}</{tag}>" if tag == "mi" else f"<mtext>&#160;{html.escape(token)}&#160;</mtext>"
