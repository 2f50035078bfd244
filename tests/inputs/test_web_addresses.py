"""Parse web addresses, and refuse private ones."""

import socket
from ipaddress import ip_address

import pytest
from web_server import OTHER, PUBLIC, refusal

from similar_images.inputs import web as fetching
from similar_images.inputs.web import is_public

PRIVATE = {  # hosts outside the public internet, by kind
    "this machine": """
        127.0.0.1 127.0.0.1. 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.1 0X7F.0x0.0x0.0X1 0177.0.0.1
        00000177.0.0.1 017700000001 localhost localhost. LOCALHOST 0 0.0.0.0 0.1.2.3""",
    "other scripts": "１２７.0.0.1 127。0。0。1 ①②⑦.0.0.1 ⓛⓞcalhost 127.0.0.\u00ad1",  # noqa: RUF001
    "networks": """
        10.0.0.1 10.255.255.255 0x0a.1 172.16.0.1 172.31.255.255 192.168.0.1 3232235521 169.254.169.254 0xA9FEA9FE
        169.254.43518 100.64.0.1 100.100.100.200 168.63.129.16""",
    "special purposes": """
        192.0.0.8 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
        239.255.255.250 240.0.0.1 255.255.255.255""",
    "IPv6": """
        [::1] [0:0:0:0:0:0:0:1] [::] [fc00::1] [fd00:ec2::254] [fe80::1] [febf::1] [fec0::1] [ff02::1] [ff0e::1]
        [100::1] [2001:db8::1] [2001:20::1] [3fff::1] [5f00::1] [4000::1]""",
    "IPv4 in IPv6": """
        [::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:10.0.0.1] [0:0:0:0:0:ffff:169.254.169.254] [::127.0.0.1]
        [::ffff:0:127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::169.254.169.254] [64:ff9b:1::1] [2002:7f00:1::]
        [2002:808:808::] [2001:0:7f00:1::] [2001:0:808:808::80ff:fffe]""",
}


@pytest.mark.parametrize("host", " ".join(PRIVATE.values()).split(), ids=ascii)
def test_private_hosts_are_refused(host, connections):
    assert "is not on the public internet" in refusal(f"http://{host}/a.jpg")
    assert "is not on the public internet" in refusal(f"HTTPS://{host}:8443")
    assert connections == []


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", PUBLIC, OTHER, "2a00:1450:4001:82a::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_connected_to(address, connections):
    assert is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert "Connection refused" in refusal(f"http://{host}:8080/a.jpg")
    assert [ip_address(one) for one in connections] == [ip_address(address)]


REFUSED = {  # invalid or ambiguous addresses by reason
    "begins with http:// or https://": [
        "file:///etc/passwd",
        "FILE://localhost/etc/passwd",
        "ftp://example.org/a.jpg",
        "gopher://127.0.0.1:6379/_INFO",
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "ws://example.org/",
        "//example.org/a.jpg",
        "example.org/a.jpg",
        "",
    ],
    "the name of a host": [
        "http:",
        "http://",
        "http:example.org",
        "http:///a.jpg",
        "http:////127.0.0.1/",
        "http://:80/",
        "http://?",
        "http://.",
        "http://127.0.0.1../",
        "http://127.0.0.1 /",
        "http:// 127.0.0.1/",
        "http://127.0.0.1\u00a0/",
        "http://127.0.0.1;example.org/",
        "http://127.0.0.1&example.org/",
        "http://127.0.0.1%00.example.org/",
        "http://127.0.0.1%2f.example.org/",
        "http://%31%32%37.0.0.1/",
        "http://%6c%6f%63%61lhost/",
        f"http://{'a' * 64}.example/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1%25lo]/",
        "http://[::1]443/",
        "http://[::1].example.org/",
    ],
    "host": ["http://example.org[::1]/"],
    "Invalid IPv6 URL": ["http://[::1"],
    "address": ["http://[127.0.0.1]/"],
    "invalid characters under NFKC": ["http://127.0.0.1\u2100.example.org/"],
    "out of range": ["http://example.org:99999/"],
    "could not be cast": ["http://example.org:-1/", "http://example.org:8o/", "http://127.0.0.1:80:80/"],
    "without a user's name": [
        "http://a@127.0.0.1/",
        "http://example.org@127.0.0.1/",
        "http://example.org:80@127.0.0.1/",
        "http://127.0.0.1@example.org/",
        "http://a:secret@example.org/",
        "http://@127.0.0.1/",
        "http://a@b@127.0.0.1/",
    ],
    "none a backslash": [
        "http://127.0.0.1:80\\@example.org/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org\\.127.0.0.1/",
        "http:\\\\127.0.0.1\\",
        "http:/\\127.0.0.1/",
    ],
    "control character": [
        "ht\ntp://127.0.0.1/",
        "http://127.0\t.0.1/",
        "http://127.0.0.1\n/",
        "http://example.org\u0000.127.0.0.1/",
        "http://127.0.0.1\u007f/",
        "http://127.0.0.1:1/ HTTP/1.1\r\nHost: example.org\r\n\r\n",
    ],
    "expected": ["\u0001http://127.0.0.1/"],
    "at most 8000 characters": [f"http://example.org/{'a' * 8000}"],
}


@pytest.mark.parametrize(
    ("reason", "address"), [(reason, one) for reason, some in REFUSED.items() for one in some], ids=ascii
)
def test_invalid_and_ambiguous_addresses_are_refused(reason, address, monkeypatch):
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
def test_host_after_path_query_or_fragment_is_ignored(address, look_ups, connections):
    look_ups["example.org"] = [[PUBLIC]]
    assert "Connection refused" in refusal(address)
    assert connections == [PUBLIC]


def test_international_name_is_looked_up_as_browsers_do(look_ups, connections):
    look_ups["xn--strae-oqa.example"] = [[PUBLIC]]
    refusal("http://Straße.example/")
    assert connections == [PUBLIC]


def test_long_address_is_shortened_in_message():
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
def test_host_header_has_non_default_port(address, expected):
    assert fetching._host_header(fetching._parse(address)) == expected
