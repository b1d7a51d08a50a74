"""Which addresses a side request may go to.

An origin file is named by strangers: by a redirect, or by a licence announced in a robots.txt. Asked without
care, it makes the crawler knock at doors that stand open only to its own network (server-side request
forgery). The rule: what is not public is asked only for a picture whose own host is in such a place, too.
"""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


class RefusedError(Exception):
    """A side request may not go where it would."""


class Place(Enum):
    """From where an address can be reached."""

    PUBLIC = "public"
    PRIVATE = "private"
    LINK = "link-local"
    MACHINE = "loopback"
    NOWHERE = "no host"


_PLACES: Final = tuple(
    (ip_network(network), place)
    for network, place in (
        # RFC 6890 and the IANA special-purpose registries; the first network that fits counts.
        ("0.0.0.0/8", Place.MACHINE),  # "this host": Linux connects 0.0.0.0 to loopback
        ("10.0.0.0/8", Place.PRIVATE),
        ("100.64.0.0/10", Place.PRIVATE),  # shared by carriers, and by container networks
        ("127.0.0.0/8", Place.MACHINE),
        ("169.254.0.0/16", Place.LINK),  # clouds answer with credentials here
        ("172.16.0.0/12", Place.PRIVATE),
        ("192.0.0.0/24", Place.NOWHERE),
        ("192.0.2.0/24", Place.NOWHERE),
        ("192.88.99.0/24", Place.NOWHERE),
        ("192.168.0.0/16", Place.PRIVATE),
        ("198.18.0.0/15", Place.PRIVATE),  # benchmarks; some virtual private networks use it
        ("198.51.100.0/24", Place.NOWHERE),
        ("203.0.113.0/24", Place.NOWHERE),
        ("224.0.0.0/3", Place.NOWHERE),  # multicast, reserved, broadcast
        ("::/128", Place.MACHINE),
        ("::1/128", Place.MACHINE),
        ("64:ff9b:1::/48", Place.PRIVATE),  # a network's own NAT64
        ("100::/64", Place.NOWHERE),
        ("2001::/23", Place.NOWHERE),  # Teredo and other tunnels
        ("2001:db8::/32", Place.NOWHERE),
        ("3fff::/20", Place.NOWHERE),
        ("5f00::/16", Place.NOWHERE),
        ("fd00:ec2::/32", Place.LINK),  # a cloud's credentials once more
        ("fc00::/7", Place.PRIVATE),
        ("fe80::/10", Place.LINK),
        ("fec0::/10", Place.PRIVATE),
        ("ff00::/8", Place.NOWHERE),
    )
)

_CARRIERS: Final = (
    # IPv6 forms that carry an IPv4 address, and by how many bits it is shifted: what is reached is that one.
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("::/96"), 0),  # compatible, RFC 4291, section 2.5.5.1
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)

_GLOBAL: Final = IPv6Network("2000::/3")
"""RFC 4291, section 2.4, and IANA: no other global unicast addresses have been given out."""

_LOOPBACK: Final = ("127.0.0.1", "::1")


def place(address: str) -> Place:
    """Where `address` is; what is no address is nowhere.

    Args:
        address: an IP address, as `socket.getaddrinfo` writes it, an IPv6 zone included.
    """
    try:
        found: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return Place.NOWHERE
    if isinstance(found, IPv6Address):
        found = IPv6Address(int(found))  # without its zone
    for network, where in _PLACES:
        if found in network:
            return where
    if isinstance(found, IPv6Address):
        for network, shift in _CARRIERS:
            if found in network:
                return place(str(IPv4Address((int(found) >> shift) & 0xFFFFFFFF)))
        if found not in _GLOBAL:
            return Place.NOWHERE
    return Place.PUBLIC


def permitted(address: str, picture_host_addresses: Iterable[str]) -> bool:
    """Whether a side request may go to `address`.

    Args:
        address: the address that would be connected to.
        picture_host_addresses: all addresses of the host of the picture for which it is made. If it has a
            public one as well, it counts as public: one name for both is how such a wall is got around.
    """
    where = place(address)
    if where in {Place.PUBLIC, Place.NOWHERE}:
        return where is Place.PUBLIC
    others = {place(each) for each in picture_host_addresses}
    return others == {where}


def literal(host: str) -> tuple[str, ...]:
    """The addresses that a URL's host stands for without any resolver being asked; none for other names.

    `localhost` and the names below it are this machine, whatever a resolver says (RFC 6761, section 6.3).

    Args:
        host: a host name, or an IP address, in brackets or not.
    """
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK
    host = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(host)
    except ValueError:
        return ()
    return (host,)
