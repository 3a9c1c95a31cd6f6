from datetime import date
from pathlib import Path

import pytest

from workers.market.price_file import MARKET, Close, MarketFileError, read_market


def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "market.csv"
    path.write_bytes(content)
    return path


def test_the_packaged_market_holds_four_years_of_twenty_stocks() -> None:
    """The file that runs by default is whole."""
    days = read_market(MARKET)
    assert (len(days), len(days[0].closes)) == (1008, 20)
    assert (days[0].day, days[-1].day) == (date(2007, 1, 3), date(2010, 12, 31))
    assert days[0].closes["AAPL"] == 2.544


@pytest.mark.parametrize(
    "content",
    [
        b"Date,A,B\n2020-01-02,1,2\n2020-01-03,3,4.5\n",
        b"\xef\xbb\xbfDate,A,B\r\n2020-01-02,1,2\r\n\r\n2020-01-03,3,4.5",
    ],
    ids=["plain", "byte order mark, CRLF, empty line, no newline at the end"],
)
def test_reads_any_file_of_the_shape(tmp_path: Path, content: bytes) -> None:
    """Symbols and days are the file's; editors' habits do no harm."""
    first, second = date(2020, 1, 2), date(2020, 1, 3)
    assert read_market(file(tmp_path, content)) == [
        Close(first, {"A": 1, "B": 2}),
        Close(second, {"A": 3, "B": 4.5}),
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "line 1: '' is no header"),
        (b"Day,A\n", "line 1: 'Day,A' is no header"),
        (b"Date\n2020-01-02\n", "line 1: 'Date' is no header"),
        (b"Date,A,A\n", "line 1: 'Date,A,A' is no header"),
        (b"Date,A,\n", "line 1: 'Date,A,' is no header"),
        (b"Date,A\n", "has no days"),
        (b"Date,A,B\n2020-01-02,1\n", "line 2 has 2 columns, the header 3"),
        (b"Date,A\n2020-01-02,1\n02.01.2020,1\n", "line 3, column Date: '02.01.2020' is no day"),
        (
            b"Date,A\n2020-01-02,1\n2020-01-02,1\n",
            "line 3: 2020-01-02 does not come after 2020-01-02",
        ),
        (b"Date,A,B\n2020-01-02,1,x\n", "line 2, column B: 'x' is no price"),
        (b"Date,A,B\n2020-01-02,,1\n", "line 2, column A: '' is no price"),
        (b"Date,A\n2020-01-02,0\n", "line 2, column A: '0' is no price"),
        (b"Date,A\n2020-01-02,-1\n", "line 2, column A: '-1' is no price"),
        (b"Date,A\n2020-01-02,inf\n", "line 2, column A: 'inf' is no price"),
        (b"Date,A\n2020-01-02,nan\n", "line 2, column A: 'nan' is no price"),
        (b"\xff\xfe\x00", "is no CSV in UTF-8"),
        (b'Date,A\n2020-01-02,"' + b"1" * 200_000, "is no CSV in UTF-8"),
    ],
)
def test_names_what_is_wrong_and_where(tmp_path: Path, content: bytes, complaint: str) -> None:
    """A malformed file is refused with its line and column."""
    with pytest.raises(MarketFileError) as refused:
        read_market(file(tmp_path, content))
    assert complaint in str(refused.value)


@pytest.mark.parametrize("name", ["missing.csv", "."])
def test_names_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """There is no such file, or it is a folder."""
    with pytest.raises(MarketFileError, match="cannot read the market file"):
        read_market(tmp_path / name)
