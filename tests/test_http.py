"""httpd and the files it serves, by curl and by hand."""

import hashlib
import subprocess
import time

import pytest

from harness import client, netns

BASE = f"http://{netns.GUEST}"


def curl(*arguments):
    done = subprocess.run(["curl", "--silent", "--show-error", "--max-time", "120", *arguments], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def status(stream):
    """Number in the first line of the answer."""
    data = b""
    while b"\r\n" not in data:
        part = stream.recv(4096)
        assert part, f"the connection ended after {data!r}"
        data += part
    return int(data.split(b" ")[1])


def test_10_mib_file(no_leak, archive):
    body = curl(f"{BASE}/10m.bin")
    assert len(body) == 10 << 20
    assert hashlib.sha256(body).hexdigest() == hashlib.sha256(archive["10m.bin"]).hexdigest()


def test_every_small_file(system, archive):
    for name, data in archive.items():
        if len(data) < 1 << 20:
            assert curl("--fail", f"{BASE}/{name}") == data, name
    assert curl("--fail", f"{BASE}/") == archive["index.html"]


def test_connection_is_kept(no_leak):
    answer = curl("--fail", "--write-out", "%{num_connects} ", "--output", "/dev/null", f"{BASE}/", f"{BASE}/",
                  "--output", "/dev/null", f"{BASE}/", "--output", "/dev/null")  # fmt: skip
    assert answer.split() == [b"1", b"0", b"0"]


def test_head_has_no_body(system, archive):
    answer = curl("--head", f"{BASE}/index.html").decode().lower()
    assert f"content-length: {len(archive['index.html'])}" in answer


def test_missing_file_is_404(system):
    for path in ("/no-such-file", "/index.html/x", "/" + "a" * 200):
        assert curl("--output", "/dev/null", "--write-out", "%{http_code}", BASE + path) == b"404", path


def test_path_out_of_the_root_is_refused(system):
    for path in ("/../../etc/passwd", "/..", "/%2e%2e/x", "/%2e%2e%2fx"):
        code = curl("--path-as-is", "--output", "/dev/null", "--write-out", "%{http_code}", BASE + path)
        assert code in (b"400", b"404"), path


def test_eight_downloads_at_once(no_leak, archive):
    curls = [
        subprocess.Popen(["curl", "--silent", "--max-time", "280", f"{BASE}/10m.bin"], stdout=subprocess.PIPE)
        for _ in range(8)
    ]
    expected = hashlib.sha256(archive["10m.bin"]).hexdigest()
    for child in curls:
        assert hashlib.sha256(child.communicate()[0]).hexdigest() == expected


def test_requests_in_one_packet_are_all_answered(system):
    with client.connect(client.HTTP) as stream:
        one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        stream.sendall(one * 4 + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.read_to_end(stream).count(b"HTTP/1.1 200") == 5


def test_request_byte_by_byte(system):
    with client.connect(client.HTTP) as stream:
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n":
            stream.send(bytes([byte]))
        assert status(stream) == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00\xff\xfe garbage \x80\r\n\r\n",
        b"GET " + b"/" * 20000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
    ],
    ids=["empty", "no-path", "version", "binary", "long-path", "many-headers"],
)
def test_nonsense_is_refused(no_leak, request_bytes):
    """With an error status, or by closing; never by silence, and others go on."""
    with client.connect(client.HTTP, timeout=20) as stream:
        try:
            stream.sendall(request_bytes)
            answer = stream.recv(4096)
        except (ConnectionResetError, BrokenPipeError):
            answer = b""
        assert not answer or answer.split(b" ")[1][:1] in b"45", answer[:80]
    assert curl("--output", "/dev/null", "--write-out", "%{http_code}", f"{BASE}/") == b"200"


def test_slow_requests_hold_nobody_up(system):
    slow = [client.connect(client.HTTP) for _ in range(10)]
    for stream in slow:
        stream.sendall(b"GET / HT")
    began = time.monotonic()
    for _ in range(10):
        curl("--fail", f"{BASE}/")
    assert time.monotonic() - began < 20
    for stream in slow:
        stream.close()


def test_download_that_is_broken_off(no_leak):
    for _ in range(20):
        stream = client.connect(client.HTTP)
        stream.sendall(b"GET /10m.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        stream.recv(4096)
        client.reset(stream)
    curl("--fail", f"{BASE}/")
