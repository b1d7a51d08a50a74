"""Where side requests go: names, addresses, certificates, proxies."""

from __future__ import annotations

import http.server
import ipaddress
import os
import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone

import pytest

from heedful import OriginFile
from heedful.errors import ConfigurationError
from heedful.origins._resolving import Resolver, system
from heedful.origins.addresses import RefusedError
from heedful.testing import File, Site, Web, redirect

ROBOTS = b"User-agent: *\nDisallow: /art/\n"
READABLE = File(ROBOTS)
PUBLIC, ALSO_PUBLIC, INSIDE, ALSO_INSIDE = "93.184.215.14", "93.184.215.15", "10.0.0.5", "10.0.0.6"


@pytest.fixture
def web(served, internet, port):
    """Serve two sites: the public one under `a.example`, and one that only we can reach."""
    inner = Site({"/robots.txt": READABLE, "/licence.xml": File(b"secret")})
    sites = {"/robots.txt": READABLE}
    for name, target in REDIRECTS.items():
        sites["/" + name.replace(" ", "-")] = redirect(target.replace("PORT", str(port)))
    running = served(Web({"public": Site(sites), "inner": inner}), port=port)
    for address, site in ((PUBLIC, "public"), (INSIDE, "inner"), (ALSO_INSIDE, "inner")):
        internet.hosts[address] = running.origin(site).split("/")[2].split(":")[0]
    internet.names = {
        "a.example": [PUBLIC],
        "b.example": [ALSO_PUBLIC],
        "inner.example": [INSIDE],
        "also-inner.example": [ALSO_INSIDE],
        "both.example": [PUBLIC, INSIDE],
        "loop.example": ["127.0.0.2"],
    }
    return running


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def files(fetcher, cache, clock, internet):
    """Fetch one file for a picture: its status, and the file."""
    origins = fetcher(cache(), now=clock.now, resolve=internet.resolve)

    def fetch(url, for_url):
        return origins.files([url], for_url)[url]

    return fetch


REDIRECTS = {
    "an address": "http://127.0.0.2:PORT/robots.txt",
    "localhost": "http://localhost:PORT/robots.txt",
    "below localhost": "http://a.localhost:PORT/robots.txt",
    "a mapped address": "http://[::ffff:7f00:2]:PORT/robots.txt",
    "IPv6": "http://[::1]:PORT/robots.txt",
    "no host": "http://0.0.0.0:PORT/robots.txt",
    "a number": "http://2130706434:PORT/robots.txt",
    "hexadecimal": "http://0x7f.2:PORT/robots.txt",
    "a name that leads inside": "http://inner.example:PORT/robots.txt",
    "a name that leads to us": "http://loop.example:PORT/robots.txt",
    "a credentials service": "http://169.254.169.254/latest/meta-data/",
}


@pytest.mark.parametrize("name", REDIRECTS)
def test_a_public_site_leads_nowhere_inside(web, files, internet, port, name):
    origin = f"http://a.example:{port}"
    url = f"{origin}/{name.replace(' ', '-')}"
    file = files(url, f"{origin}/1.jpg")
    assert file.status == 0  # a doubt
    assert internet.dialled == [PUBLIC]
    assert web.hits("inner") == ()
    files(url, f"{origin}/2.jpg")
    assert len(web.log) == 1  # it is known now


LEADS = {
    "a public picture": ("http://a.example/1.jpg", "inner.example", 0),
    "one with a name for both": ("http://both.example/1.jpg", "inner.example", 0),
    "one of which nothing is known": ("http://unknown.example/1.jpg", "inner.example", 0),
    "one of another place": ("http://127.0.0.1/1.jpg", "inner.example", 0),
    "no picture": ("", "inner.example", 0),
    "one next door": ("http://also-inner.example/1.jpg", "inner.example", 200),
    "its own": ("http://inner.example/1.jpg", "inner.example", 200),
    "its own, by address": ("http://10.0.0.5/1.jpg", "10.0.0.5", 200),
}


@pytest.mark.parametrize(("picture", "host", "status"), LEADS.values(), ids=LEADS)
def test_what_is_inside_is_asked_for_pictures_inside(web, files, internet, port, picture, host, status):
    file = files(f"http://{host}:{port}/licence.xml", picture)
    assert (file.status, len(web.hits("inner"))) == (status, status // 200)


def test_a_refusal_is_not_kept_for_others(web, files, port):
    url = f"http://inner.example:{port}/licence.xml"
    assert files(url, f"http://a.example:{port}/1.jpg").status == 0
    assert files(url, f"http://inner.example:{port}/1.jpg").status == 200


def test_a_closed_network_can_say_so(web, fetcher, internet, port):
    origins = fetcher(resolve=internet.resolve, allow_private=True)
    url = f"http://inner.example:{port}/licence.xml"
    assert origins.files([url], "http://a.example/1.jpg")[url].body == b"secret"


def test_of_two_addresses_only_the_permitted_one_is_dialled(web, files, internet, port):
    internet.names["mixed.example"] = [INSIDE, PUBLIC]
    url = f"http://mixed.example:{port}/robots.txt"
    assert files(url, url).body == ROBOTS
    assert internet.dialled == [PUBLIC]


def test_the_address_that_was_checked_is_the_one_that_is_dialled(web, files, internet, port):
    internet.names["rebinds.example"] = [[PUBLIC], [INSIDE]]
    origin = f"http://rebinds.example:{port}"
    assert files(f"{origin}/robots.txt", origin).body == ROBOTS
    assert files(f"{origin}/ai.txt", origin).status == 404
    assert internet.dialled == [PUBLIC, PUBLIC]
    assert internet.resolved == ["rebinds.example"]
    assert dict(web.log[0].headers)["Host"] == f"rebinds.example:{port}"


def test_what_was_unreachable_at_one_address_is_tried_at_the_next(web, files, internet, port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()
    internet.hosts["93.184.215.99"] = closed[0]
    internet.names["two.example"] = ["93.184.215.99", PUBLIC]
    url = f"http://two.example:{port}/robots.txt"
    internet.hosts["93.184.215.99"] = "127.0.0.200"  # nobody is there
    assert files(url, url).body == ROBOTS
    assert internet.dialled == ["93.184.215.99", PUBLIC]


def test_credentials_in_a_url_are_not_sent(web, files, port):
    url = f"http://user:secret@a.example:{port}/robots.txt"
    assert files(url, url).body == ROBOTS
    assert "Authorization" not in dict(web.log[0].headers)


# -- names ---------------------------------------------------------------------------------------------------


def test_a_name_that_does_not_exist(files, internet):
    url = "http://nowhere.example/robots.txt"
    assert files(url, url).status == 0
    assert internet.resolved == ["nowhere.example"]


def raises(error):
    raise error


NAMES = {
    "no address": lambda _: [],
    "a label that is too long": lambda _: raises(UnicodeError("label too long")),
    "no such name": lambda _: raises(socket.gaierror(-2, "Name or service not known")),
}


@pytest.mark.parametrize("resolve", NAMES.values(), ids=NAMES)
def test_names_without_addresses(resolve):
    with pytest.raises(OSError, match=r"a\.example has no|a\.example is no|not known"):
        Resolver(resolve).addresses("a.example", 30)


MIXED = {
    "public": ([PUBLIC, ALSO_PUBLIC], [PUBLIC, ALSO_PUBLIC], True),
    "both": ([PUBLIC, INSIDE], [PUBLIC], False),
    "inside": ([INSIDE], [], False),
}


@pytest.mark.parametrize(("addresses", "allowed", "all_of_them"), MIXED.values(), ids=MIXED)
def test_who_lets_others_connect_wants_all_addresses_permitted(internet, addresses, allowed, all_of_them):
    internet.names = {"a.example": [PUBLIC], "b.example": addresses}
    resolver = Resolver(internet.resolve)
    for every, wanted in ((False, allowed), (True, allowed if all_of_them else [])):
        if wanted:
            assert resolver.permitted("b.example", "a.example", 30.0, every=every) == tuple(wanted)
        else:
            with pytest.raises(RefusedError, match="not public"):
                resolver.permitted("b.example", "a.example", 30.0, every=every)


def test_the_systems_resolver():
    assert system("127.0.0.1") == ("127.0.0.1",)


def test_a_name_is_asked_for_once():
    asked = []
    release = threading.Event()

    def resolve(host):
        asked.append(host)
        release.wait()
        return [PUBLIC]

    resolver = Resolver(resolve)
    with pytest.raises(TimeoutError, match=r"a\.example"):
        resolver.addresses("a.example", 0.01)
    release.set()
    assert resolver.addresses("a.example", 30) == (PUBLIC,)
    assert resolver.addresses("127.0.0.1", 0) == ("127.0.0.1",)
    assert asked == ["a.example"]


def test_a_resolver_that_hangs_costs_one_timeout(fetcher, stopwatch):
    release = threading.Event()
    origins = fetcher(timeout=0.2, resolve=lambda _: release.wait() and [])
    begin = stopwatch()
    urls = [f"http://a.example{path}" for path in ("/robots.txt", "/ai.txt")]
    assert [file.status for file in origins.files(urls, urls[0]).values()] == [0, 0]
    assert origins.files(["http://a.example/x"], urls[0])["http://a.example/x"].status == 0
    assert 0.2 <= stopwatch() - begin < 3
    release.set()


def test_a_resolver_that_is_wrong(fetcher, caplog):
    url = "http://a.example/robots.txt"
    origins = fetcher(resolve=lambda _: raises(RuntimeError("a fault")))
    assert origins.files([url], url)[url].status == 0
    assert "a fault" in caplog.text


# -- certificates --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Make a certificate for `a.example` that vouches for itself: a file with it and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=a.example")
    now = datetime.now(timezone.utc)
    names = [x509.DNSName("a.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "a.pem"
    form = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )
    return path


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(ROBOTS)))
        self.end_headers()
        self.wfile.write(ROBOTS)

    def do_CONNECT(self):
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        self.send_response_only(self.server.tunnels)
        self.end_headers()
        if self.server.tunnels != 200:
            return
        with socket.socket() as other:
            other.connect(self.server.other)
            back = threading.Thread(target=relay, args=(other, self.connection))
            back.start()
            relay(self.connection, other)
            back.join()
        self.close_connection = True

    def log_message(self, *_):
        pass


def relay(source, target):
    try:
        while piece := source.recv(4096):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen = []
        self.names = []
        self.other = None
        self.tunnels = 200
        self.context = context
        if context is not None:
            context.sni_callback = lambda _, name, __: self.names.append(name)

    def finish_request(self, request, client_address):
        try:
            if self.context is not None:
                request = self.context.wrap_socket(request, server_side=True)
        except OSError:  # the client does not trust us
            return
        super().finish_request(request, client_address)
        if self.context is not None:
            request.close()


@pytest.fixture
def server():
    """Serve `ROBOTS` at any path; with a certificate, by TLS."""
    started = []

    def start(certificate=None):
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
        made = Server(context)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((made, thread))
        return made

    yield start
    for made, thread in started:
        made.shutdown()
        thread.join()
        made.server_close()


@pytest.fixture
def trusting(certificate):
    return ssl.create_default_context(cafile=certificate)


def test_certificates_are_checked_by_the_name(server, certificate, trusting, fetcher, internet):
    secure = server(certificate)
    port = secure.server_address[1]
    internet.names = {"a.example": [PUBLIC], "b.example": [PUBLIC]}
    internet.hosts[PUBLIC] = "127.0.0.1"
    origins = fetcher(resolve=internet.resolve, tls=trusting)
    wanted = {
        f"https://{host}:{port}/robots.txt": status for host, status in (("a.example", 200), ("b.example", 0))
    }
    for url, status in wanted.items():
        assert origins.files([url], url)[url].status == status
    assert secure.names[0] == "a.example"
    assert [headers["Host"] for _, _, headers in secure.seen] == [f"a.example:{port}"]
    by_address = f"https://127.0.0.1:{port}/robots.txt"
    assert origins.files([by_address], by_address)[by_address].body == ROBOTS
    usual = fetcher(resolve=internet.resolve)
    (url, _) = wanted
    assert usual.files([url], url)[url].status == 0  # nobody vouches for it


# -- proxies -------------------------------------------------------------------------------------------------


@pytest.fixture
def proxied(monkeypatch):
    """Name a proxy in the environment."""

    def name(url, without=""):
        for variable in list(os.environ):
            if variable.lower().endswith("_proxy"):
                monkeypatch.delenv(variable)
        monkeypatch.setenv("http_proxy", url)
        monkeypatch.setenv("https_proxy", url)
        monkeypatch.setenv("no_proxy", without)

    return name


def test_through_a_proxy(server, fetcher, internet, proxied):
    proxy = server()
    proxied(f"http://us%40er:secret@127.0.0.1:{proxy.server_address[1]}", without="direct.example")
    origins = fetcher(resolve=internet.resolve)
    url = "http://a.example/robots.txt?x"
    assert origins.files([url], url)[url].body == ROBOTS
    ((command, path, headers),) = proxy.seen
    assert (command, path, headers["Host"]) == ("GET", url, "a.example")
    assert headers["Proxy-Authorization"] == "Basic dXNAZXI6c2VjcmV0"
    assert internet.resolved == []  # that is the proxy's part
    for direct in ("http://direct.example/robots.txt", "http://localhost:1/robots.txt"):
        assert origins.files([direct], direct)[direct].status == 0
    assert len(proxy.seen) == 1


def test_through_a_proxy_by_tls(server, certificate, trusting, fetcher, proxied):
    secure, proxy = server(certificate), server()
    proxy.other = secure.server_address
    proxied(f"127.0.0.1:{proxy.server_address[1]}")
    origins = fetcher(tls=trusting)
    url = "https://a.example/robots.txt"
    assert origins.files([url], url)[url].body == ROBOTS
    assert [command for command, _, _ in proxy.seen] == ["CONNECT"]
    assert proxy.seen[0][1] == "a.example:443"
    assert [headers["Host"] for _, _, headers in secure.seen] == ["a.example"]
    assert "Proxy-Authorization" not in secure.seen[0][2]


def test_a_proxy_that_lets_nothing_through(server, fetcher, proxied, clock):
    proxy = server()
    proxy.tunnels = 407
    proxied(f"http://127.0.0.1:{proxy.server_address[1]}")
    url = "https://a.example/robots.txt"
    assert fetcher(now=clock.now).files([url], url) == {url: OriginFile(url, 0, fetched=clock.time)}


def test_inside_is_asked_directly_and_only_for_pictures_there(server, fetcher, proxied, internet):
    proxy = server()
    proxied(f"http://127.0.0.1:{proxy.server_address[1]}")
    url = "http://127.0.0.2:1/robots.txt"
    assert fetcher(resolve=internet.resolve).files([url], "http://a.example/1.jpg")[url].status == 0
    assert proxy.seen == []
    assert internet.dialled == []


PROXIES = {
    "SOCKS": "socks5://127.0.0.1:1",
    "TLS": "https://127.0.0.1:1",
    "a port": "http://127.0.0.1:x",
    "none": "://",
}


@pytest.mark.parametrize("url", PROXIES.values(), ids=PROXIES)
def test_proxies_that_cannot_be_used(fetcher, proxied, url):
    proxied(url.replace("//", "//me:secret@"))
    with pytest.raises(ConfigurationError, match="proxy that the environment names") as told:
        fetcher()
    assert "secret" not in str(told.value)
