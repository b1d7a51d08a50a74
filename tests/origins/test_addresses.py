from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.origins.addresses import Place, literal, permitted, place

PUBLIC, PRIVATE, LINK, MACHINE, NOWHERE = Place

PLACES = {
    "93.184.215.14": PUBLIC,
    "9.255.255.255": PUBLIC,
    "11.0.0.0": PUBLIC,
    "172.15.255.255": PUBLIC,
    "172.32.0.0": PUBLIC,
    "2606:2800:21f:cb07:6820:80da:af6b:8b2c": PUBLIC,
    "::ffff:93.184.215.14": PUBLIC,
    "::93.184.215.14": PUBLIC,
    "64:ff9b::5db8:d70e": PUBLIC,
    "2002:5db8:d70e::1": PUBLIC,
    "10.0.0.1": PRIVATE,
    "172.16.0.1": PRIVATE,
    "172.31.255.255": PRIVATE,
    "192.168.1.1": PRIVATE,
    "100.64.0.1": PRIVATE,
    "198.19.0.1": PRIVATE,
    "fc00::1": PRIVATE,
    "fdff::1": PRIVATE,
    "fec0::1": PRIVATE,
    "::ffff:10.0.0.1": PRIVATE,
    "::ffff:0:10.0.0.1": PRIVATE,
    "64:ff9b::a00:1": PRIVATE,
    "64:ff9b:1::5db8:d70e": PRIVATE,
    "2002:a00:1::1": PRIVATE,
    "169.254.169.254": LINK,
    "fd00:ec2::254": LINK,
    "fe80::1": LINK,
    "fe80::1%eth0": LINK,
    "::ffff:169.254.169.254": LINK,
    "64:ff9b::a9fe:a9fe": LINK,
    "127.0.0.1": MACHINE,
    "127.255.255.254": MACHINE,
    "0.0.0.0": MACHINE,  # noqa: S104
    "::1": MACHINE,
    "::": MACHINE,
    "::ffff:127.0.0.1": MACHINE,
    "::127.0.0.1": MACHINE,
    "64:ff9b::7f00:1": MACHINE,
    "2002:7f00:1::": MACHINE,
    "224.0.0.1": NOWHERE,
    "240.0.0.1": NOWHERE,
    "255.255.255.255": NOWHERE,
    "192.0.2.1": NOWHERE,
    "2001:db8::1": NOWHERE,
    "2001:0:7f00:1::": NOWHERE,
    "ff02::1": NOWHERE,
    "::1:0:0": NOWHERE,
    "4000::1": NOWHERE,
    "::ffff:224.0.0.1": NOWHERE,
    "": NOWHERE,
    "a.example": NOWHERE,
    "127.1": NOWHERE,
    "010.0.0.1": NOWHERE,
}


@pytest.mark.parametrize(("address", "where"), PLACES.items(), ids=PLACES)
def test_place(address, where):
    assert place(address) is where


PERMITTED = {
    "public, for a public picture": ("93.184.215.14", ["1.1.1.1"], True),
    "public, for a picture in the house": ("93.184.215.14", ["10.0.0.2"], True),
    "public, for a picture whose host is not known": ("93.184.215.14", [], True),
    "loopback, for a public picture": ("127.0.0.1", ["1.1.1.1"], False),
    "loopback, for a loopback picture": ("127.0.0.2", ["127.0.0.1"], True),
    "loopback, in both families": ("127.0.0.1", ["127.0.0.1", "::1"], True),
    "private, for a picture in the house": ("10.1.2.3", ["192.168.0.1"], True),
    "private, for a picture of which nothing is known": ("10.1.2.3", [], False),
    "private, for one that is public as well": ("10.1.2.3", ["192.168.0.1", "1.1.1.1"], False),
    "link-local, for a picture in the house": ("169.254.169.254", ["10.0.0.1"], False),
    "loopback, for a picture in the house": ("127.0.0.1", ["10.0.0.1"], False),
    "no host, for such a picture": ("224.0.0.1", ["224.0.0.1"], False),
    "mapped": ("::ffff:127.0.0.1", ["1.1.1.1"], False),
}


@pytest.mark.parametrize(("address", "others", "wanted"), PERMITTED.values(), ids=PERMITTED)
def test_permitted(address, others, wanted):
    assert permitted(address, others) is wanted


LITERALS = {
    "localhost": ("127.0.0.1", "::1"),
    "LOCALHOST.": ("127.0.0.1", "::1"),
    "a.localhost": ("127.0.0.1", "::1"),
    "notlocalhost": (),
    "localhost.example": (),
    "127.0.0.1": ("127.0.0.1",),
    "[::1]": ("::1",),
    "::1": ("::1",),
    "a.example": (),
    "": (),
}


@pytest.mark.parametrize(("host", "addresses"), LITERALS.items(), ids=LITERALS)
def test_literal(host, addresses):
    assert literal(host) == addresses


CARRIERS = [ipaddress.ip_network(each) for each in ("::/64", "64:ff9b::/96", "2002::/16")]
WARY = ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved", "is_unspecified")


@given(st.ip_addresses())
def test_where_python_is_wary_so_are_we(address):
    # Not the other way round: its tables differ from version to version.
    if place(str(address)) is PUBLIC and not any(address in network for network in CARRIERS):
        assert not [name for name in WARY if getattr(address, name)]


@given(st.text())
def test_anything_has_a_place(text):
    assert place(text) in Place
    assert isinstance(literal(text), tuple)
