"""A page of another origin in a real browser: what the device side lets it send and read."""

import contextlib
import http.server
import json
import queue
import shutil
import subprocess
import threading

import pytest

from resumable import MIB, chance_of, seal
from server import Server
from tus_calls import metadata

BROWSER = next(
    filter(None, map(shutil.which, ["chromium-headless-shell", "chromium", "google-chrome"])), None)

# What tus-js-client does, in its words: XMLHttpRequest, one cut, and on from the told offset.
PAGE = """<!doctype html><script type="module">
const { base, token, metadata } = await (await fetch("/config.json")).json();
const bytes = new Uint8Array(await (await fetch("/part.zip")).arrayBuffer());
const call = (method, url, fields, body, cut) => new Promise((done, failed) => {
  const request = new XMLHttpRequest();
  request.open(method, url);
  request.setRequestHeader("Authorization", "Bearer " + token);
  for (const [name, value] of Object.entries(fields)) request.setRequestHeader(name, value);
  request.onload = () => done(request);
  request.onabort = () => done(null);
  request.onerror = () => failed(new Error(method + " " + url));
  if (cut) request.upload.onprogress = (event) => { if (event.loaded > 0) request.abort(); };
  request.send(body);
});
const tus = { "Tus-Resumable": "1.0.0" };
const patch = { ...tus, "Content-Type": "application/offset+octet-stream" };
const report = {};
try {
  report.spoken = (await fetch(base + "/v1/uploads", { method: "OPTIONS" })).headers.get("Tus-Version");
  const begun = await call("POST", base + "/v1/uploads",
    { ...tus, "Upload-Length": bytes.length, "Upload-Metadata": metadata });
  report.begun = begun.status;
  const upload = begun.getResponseHeader("Location");
  await call("PATCH", upload, { ...patch, "Upload-Offset": 0 }, bytes.slice(0, 1 << 20));
  report.cut = await call("PATCH", upload, { ...patch, "Upload-Offset": 1 << 20 }, bytes.slice(1 << 20), true) === null;
  let last, offset;
  do {
    offset = Number((await call("HEAD", upload, tus)).getResponseHeader("Upload-Offset"));
    last = await call("PATCH", upload, { ...patch, "Upload-Offset": offset }, bytes.slice(offset));
  } while (last.status === 409);
  report.resumedAt = offset;
  report.last = last.status;
  report.offset = Number(last.getResponseHeader("Upload-Offset"));
  const asked = await fetch(base + "/v1/receipts?wait=30", { headers: { Authorization: "Bearer " + token } });
  report.receipts = (await asked.json()).receipts.length;
  const refused = await fetch(base + "/v1/receipts", { headers: { Authorization: "Bearer none" } });
  report.refused = (await refused.json()).code;
  report.date = Math.abs(new Date(refused.headers.get("Date")) - new Date()) < 60000;
} catch (error) { report.error = String(error); }
await fetch("/report", { method: "POST", body: JSON.stringify(report) });
</script>"""


@contextlib.contextmanager
def page(files):
    """Serves a page and its files on an origin of its own; gives its URL and what the page reports."""
    reports = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Type", "text/html" if self.path == "/" else "application/octet-stream")
            self.end_headers()
            self.wfile.write(content or b"")

        def do_POST(self):
            reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{site.server_port}", reports
    finally:
        site.shutdown()
        site.server_close()


def visit(url, reports, profile):
    """What the page says once a browser has run it."""
    assert BROWSER, "deploy/prepare.sh installs one"
    browser = subprocess.Popen(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--remote-debugging-port=0", f"--user-data-dir={profile}", url],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return reports.get(timeout=90)
    finally:
        browser.kill()
        browser.wait()


@pytest.fixture
def send(tmp_path):
    """Sends a bundle from a page to a server that lets in what `origins` makes of the page's origin."""
    def send(origins):
        files = {"/": PAGE.encode()}
        with page(files) as (url, reports):
            server = Server(tmp_path / "data", "--set", f"cors-origins={origins(url)}").start()
            try:
                device = server.new_device(server.create_tenant("acme"))
                sealed = seal(device, chance_of("browser"), 3 * MIB)
                files["/part.zip"] = sealed.parts[0]
                files["/config.json"] = json.dumps({
                    "base": server.device_url.removesuffix("/v1"), "token": device.token,
                    "metadata": metadata(bundle_id=sealed.bundle_id)}).encode()
                report = visit(url, reports, tmp_path / "profile")
                return report, sealed
            finally:
                assert server.stop() == 0
    return send


@pytest.mark.parametrize("origins", [str, lambda url: "*"], ids=["named", "all"])
def test_a_page_whose_origin_is_let_in_uploads_resumes_and_reads_its_receipt(send, origins):
    report, sealed = send(origins)
    assert "error" not in report, report
    assert report.pop("resumedAt") >= MIB
    assert report == {
        "spoken": "1.0.0", "begun": 201, "cut": True, "last": 204, "offset": len(sealed.parts[0]), "receipts": 1,
        "refused": "unauthorized", "date": True}


def test_a_page_of_another_origin_gets_nowhere(send):
    report, _ = send(lambda url: "https://app.example")
    assert report["error"] and len(report) == 1
