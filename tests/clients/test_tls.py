"""TLS on both sides: a client to Weir, Weir to another Weir, and certificates taken over on SIGHUP."""
import signal, socket, ssl, subprocess

import httpx, openai, pytest

import gateway, servers
from gateway import ADMIN, SAY, provider, until


def make(directory, name, issuer=None):
    """A certificate for localhost and 127.0.0.1, signed by issuer or by itself: (certificate, key)."""
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", str(key),
               "-out", str(cert), "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    if issuer:
        command += ["-CA", str(issuer[0]), "-CAkey", str(issuer[1])]
    made = subprocess.run(command, capture_output=True, text=True)
    if issuer and made.returncode:  # OpenSSL before 3.? has no -CA in req
        request, extra = directory / f"{name}.csr", directory / f"{name}.ext"
        extra.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-out",
                        str(request), "-subj", f"/CN={name}"], check=True, capture_output=True)
        made = subprocess.run(["openssl", "x509", "-req", "-in", str(request), "-CA", str(issuer[0]), "-CAkey", str(issuer[1]), "-days", "2",
                               "-extfile", str(extra), "-out", str(cert)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return cert, key


def serial(weir, ca):
    with socket.create_connection((weir.host, weir.port)) as plain:
        with ssl.create_default_context(cafile=str(ca)).wrap_socket(plain, server_hostname="localhost") as s:
            return s.getpeercert()["serialNumber"]


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "8") as server:
        yield server


def test_a_chain_of_weirs_over_tls(tmp_path, mock):
    ca = make(tmp_path, "authority")
    cert, key = make(tmp_path, "server", ca)
    inner_config = {"providers": {"mock": provider(mock.url)}, "listen": {"tls": {"cert": str(cert), "key": str(key)}}}
    with gateway.serve(inner_config) as inner:
        url = f"https://localhost:{inner.port}/v1"
        upstream = {"api": "openai", "url": url, "key": ADMIN}
        with gateway.serve({"providers": {"weir": upstream}}, "--ca", str(ca[0])) as outer:
            stream = outer.client().chat.completions.create(model="weir/mock/m", messages=SAY, stream=True)
            text = "".join(c.choices[0].delta.content or "" for c in stream)
            assert text.startswith("alpha0") and text.endswith("omega7")
            ours, theirs = outer.last(), None
            with httpx.Client(verify=ssl.create_default_context(cafile=str(ca[0])), headers={"authorization": "Bearer " + ADMIN}) as http:
                theirs = http.get(f"https://localhost:{inner.port}/api/v1/calls").json()["calls"][0]
            assert ours["trace_id"] == theirs["trace_id"] and theirs["parent_span_id"] == ours["span_id"]
        with gateway.serve({"providers": {"weir": upstream}}) as outer:  # the system's store does not know this authority
            answer = outer.post({"model": "weir/mock/m", "messages": SAY})
            assert answer.status_code == 502
            assert {a["error"] for a in outer.record_of(answer)["attempts"]} == {"tls"}


def test_certificates_are_taken_over_without_dropping_a_connection(tmp_path, mock):
    ca = make(tmp_path, "authority")
    first, second = make(tmp_path, "first", ca), make(tmp_path, "second", ca)
    config = {"providers": {"mock": provider(mock.url)}, "listen": {"tls": {"cert": str(first[0]), "key": str(first[1])}}}
    with gateway.serve(config) as weir:
        with httpx.Client(verify=ssl.create_default_context(cafile=str(ca[0])), headers={"authorization": "Bearer " + ADMIN}) as http:
            ask = lambda: http.post(f"https://localhost:{weir.port}/v1/chat/completions", json={"model": "mock/m", "messages": SAY})
            assert ask().status_code == 200
            before = serial(weir, ca[0])
            config["listen"]["tls"] = {"cert": str(second[0]), "key": str(second[1])}
            weir.configure(config)
            weir.server.process.send_signal(signal.SIGHUP)
            assert until(lambda: serial(weir, ca[0]) != before)
            assert ask().status_code == 200
        config["listen"]["tls"]["key"] = str(first[1])  # does not fit the certificate
        weir.configure(config)
        weir.server.process.send_signal(signal.SIGHUP)
        assert until(lambda: "result=refused" in weir.log_path.read_text())


def test_clients_must_show_a_certificate_when_told(tmp_path, mock):
    ca = make(tmp_path, "authority")
    cert, key = make(tmp_path, "server", ca)
    client = make(tmp_path, "client", ca)
    tls = {"cert": str(cert), "key": str(key), "client_ca": str(ca[0])}
    with gateway.serve({"providers": {"mock": provider(mock.url)}, "listen": {"tls": tls}}) as weir:
        plain = ssl.create_default_context(cafile=str(ca[0]))
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"https://localhost:{weir.port}/health", verify=plain)
        shown = ssl.create_default_context(cafile=str(ca[0]))
        shown.load_cert_chain(*map(str, client))
        assert httpx.get(f"https://localhost:{weir.port}/health", verify=shown).status_code == 200
