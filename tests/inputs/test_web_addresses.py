"""Which addresses may be fetched, and how an address is parsed."""

import socket
from ipaddress import ip_address

import pytest
from web_server import OTHER, PUBLIC, refusal

from similar_images.inputs import web as fetching
from similar_images.inputs.web import is_public


@pytest.mark.parametrize(
    "host",
    [
        # this machine
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0x0.0x0.0X1",
        "0177.0.0.1",
        "00000177.0.0.1",
        "017700000001",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "１２７.0.0.1",  # noqa: RUF001
        "127。0。0。1",
        "①②⑦.0.0.1",
        "ⓛⓞcalhost",
        "127.0.0.\u00ad1",  # a soft hyphen
        "0",
        "0.0.0.0",
        "0.1.2.3",
        # private networks, the link, a provider's
        "10.0.0.1",
        "10.255.255.255",
        "0x0a.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "3232235521",
        "169.254.169.254",
        "0xA9FEA9FE",
        "169.254.43518",
        "100.64.0.1",
        "100.100.100.200",
        "168.63.129.16",
        # for special purposes
        "192.0.0.8",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        # IPv6
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[febf::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[ff0e::1]",
        "[100::1]",
        "[2001:db8::1]",
        "[2001:20::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[4000::1]",
        # IPv6 that holds IPv4
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::FFFF:10.0.0.1]",
        "[0:0:0:0:0:ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:808:808::]",
        "[2001:0:7f00:1::]",
        "[2001:0:808:808::80ff:fffe]",
    ],
    ids=ascii,
)
def test_what_is_not_on_the_public_internet_is_refused(host, connections):
    assert "is not on the public internet" in refusal(f"http://{host}/a.jpg")
    assert "is not on the public internet" in refusal(f"HTTPS://{host}:8443")
    assert connections == []


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", PUBLIC, OTHER, "2a00:1450:4001:82a::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_what_is_on_the_public_internet_is_connected_to(address, connections):
    assert is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert "Connection refused" in refusal(f"http://{host}:8080/a.jpg")
    assert [ip_address(one) for one in connections] == [ip_address(address)]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        # other schemes
        ("file:///etc/passwd", "begins with http:// or https://"),
        ("FILE://localhost/etc/passwd", "begins with http:// or https://"),
        ("ftp://example.org/a.jpg", "begins with http:// or https://"),
        ("gopher://127.0.0.1:6379/_INFO", "begins with http:// or https://"),
        ("javascript:alert(1)", "begins with http:// or https://"),
        ("data:image/png;base64,AAAA", "begins with http:// or https://"),
        ("ws://example.org/", "begins with http:// or https://"),
        ("//example.org/a.jpg", "begins with http:// or https://"),
        ("example.org/a.jpg", "begins with http:// or https://"),
        ("", "begins with http:// or https://"),
        # no host, or none that there can be
        ("http:", "the name of a host"),
        ("http://", "the name of a host"),
        ("http:example.org", "the name of a host"),
        ("http:///a.jpg", "the name of a host"),
        ("http:////127.0.0.1/", "the name of a host"),
        ("http://:80/", "the name of a host"),
        ("http://?", "the name of a host"),
        ("http://.", "the name of a host"),
        ("http://127.0.0.1../", "the name of a host"),
        ("http://127.0.0.1 /", "the name of a host"),
        ("http:// 127.0.0.1/", "the name of a host"),
        ("http://127.0.0.1\u00a0/", "the name of a host"),
        ("http://127.0.0.1;example.org/", "the name of a host"),
        ("http://127.0.0.1&example.org/", "the name of a host"),
        ("http://127.0.0.1%00.example.org/", "the name of a host"),
        ("http://127.0.0.1%2f.example.org/", "the name of a host"),
        ("http://%31%32%37.0.0.1/", "the name of a host"),
        ("http://%6c%6f%63%61lhost/", "the name of a host"),
        (f"http://{'a' * 64}.example/", "the name of a host"),
        ("http://[fe80::1%25eth0]/", "the name of a host"),
        ("http://[fe80::1%eth0]/", "the name of a host"),
        ("http://[::1%25lo]/", "the name of a host"),
        ("http://[::1]443/", "the name of a host"),
        ("http://[::1].example.org/", "the name of a host"),
        ("http://example.org[::1]/", "host"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://[127.0.0.1]/", "address"),
        ("http://127.0.0.1\u2100.example.org/", "invalid characters under NFKC"),
        ("http://example.org:99999/", "out of range"),
        ("http://example.org:-1/", "could not be cast"),
        ("http://example.org:8o/", "could not be cast"),
        ("http://127.0.0.1:80:80/", "could not be cast"),
        # a user's name, which one reader takes for the host and another does not
        ("http://a@127.0.0.1/", "without a user's name"),
        ("http://example.org@127.0.0.1/", "without a user's name"),
        ("http://example.org:80@127.0.0.1/", "without a user's name"),
        ("http://127.0.0.1@example.org/", "without a user's name"),
        ("http://a:secret@example.org/", "without a user's name"),
        ("http://@127.0.0.1/", "without a user's name"),
        ("http://a@b@127.0.0.1/", "without a user's name"),
        ("http://127.0.0.1:80\\@example.org/", "none a backslash"),
        ("http://example.org\\@127.0.0.1/", "none a backslash"),
        ("http://example.org\\.127.0.0.1/", "none a backslash"),
        ("http:\\\\127.0.0.1\\", "none a backslash"),
        ("http:/\\127.0.0.1/", "none a backslash"),
        # characters that some readers drop
        ("ht\ntp://127.0.0.1/", "control character"),
        ("http://127.0\t.0.1/", "control character"),
        ("http://127.0.0.1\n/", "control character"),
        ("\x01http://127.0.0.1/", "expected"),  # versions of Python read it differently
        ("http://example.org\0.127.0.0.1/", "control character"),
        ("http://127.0.0.1\x7f/", "control character"),
        ("http://127.0.0.1:1/ HTTP/1.1\r\nHost: example.org\r\n\r\n", "control character"),
        (f"http://example.org/{'a' * 8000}", "at most 8000 characters"),
    ],
    ids=ascii,
)
def test_what_is_no_address_or_can_be_read_in_two_ways_is_refused(address, reason, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("looked up"))
    assert reason in refusal(address, allow_private=True)


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org#@127.0.0.1/",
        "http://example.org?@127.0.0.1/",
        "http://example.org/@127.0.0.1/",
        "http://example.org/..//127.0.0.1/",
        "http://EXAMPLE.org.:80?http://127.0.0.1/",
        "http://example.org/ http://127.0.0.1/",
    ],
)
def test_what_looks_like_a_second_host_is_none(address, look_ups, connections):
    look_ups["example.org"] = [[PUBLIC]]
    assert "Connection refused" in refusal(address)
    assert connections == [PUBLIC]


def test_a_name_in_another_script_is_looked_up_as_browsers_do(look_ups, connections):
    look_ups["xn--strae-oqa.example"] = [[PUBLIC]]
    refusal("http://Straße.example/")
    assert connections == [PUBLIC]


def test_a_long_address_is_shortened_in_its_refusal():
    said = refusal(f"data:image/png;base64,{'A' * 1_000_000}")
    assert said.endswith("… cannot be fetched: expected an address that begins with http:// or https://")
    assert len(said) < 300


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://example.org/", "example.org"),
        ("http://example.org:80/", "example.org"),
        ("https://example.org:443/", "example.org"),
        ("http://example.org:443/", "example.org:443"),
        ("https://[2606:2800::1]/", "[2606:2800::1]"),
        ("http://[2606:2800::1]:8080/", "[2606:2800::1]:8080"),
    ],
)
def test_the_host_header_has_the_port_where_it_is_another(address, expected):
    assert fetching._host_header(fetching._parse(address)) == expected
