# example.py - gateway.conf.example runs once its paths (and here, ports) are edited.
# SPDX-License-Identifier: Apache-2.0
import os

import adapters
import lab as labs
import sample as samples


class At:
    """What labs.Client wants to know of a gateway."""

    def __init__(self, sample):
        self.port = sample.port
        self.lab = sample     # its .ca


def ask(sample, target, token=None):
    c = labs.Client(At(sample), sni=samples.AUDIENCE)
    try:
        return c.request("GET", target, token, host=samples.AUDIENCE)
    finally:
        c.close()


def run(lab, report):
    sample = samples.Sample(os.path.join(lab.dir, "example"))
    missing = sample.configure()
    report.ok(not missing, "every path of the example is known to this test", repr(missing))
    sample.state_here()
    ok, said = adapters.command([labs.BINARY, "check", "-c", f"{sample.dir}/gateway.conf"])
    report.ok(ok and said.count("\n") == 1, "check finds it well, without a warning", said)
    p = lab.process([labs.BINARY, "run", "-c", f"{sample.dir}/gateway.conf"], "example-gateway")
    if not report.ok(labs.wait_for(lambda: not p.alive() or labs.port_open(sample.port)) and p.alive(),
                     "a gateway runs on it", p.tail()):
        return
    r = ask(sample, "/v2/")
    report.ok(r.status == 401 and r.code() == "UNAUTHORIZED", "a ping without a token is asked for one", repr(r))
    r = ask(sample, "/v2/shop/app/tags/list", sample.token("dev"))
    report.ok(r.status == 403, "a token of the example's issuer is believed, and its subject refused", repr(r))
    r = ask(sample, "/v2/shop/app/tags/list", sample.token("ci"))
    report.ok(r.status in (502, 503), "what is allowed goes to the example's upstream, which is not there", repr(r))
    r = ask(sample, "/v2/shop/app/tags/list", sample.token("ci", audience="elsewhere.example.com"))
    report.ok(r.status == 401, "a token for another audience is refused", repr(r))
    probe = lambda *a: adapters.command([labs.BINARY, "probe", *a])
    report.ok(probe(f"127.0.0.1:{sample.admin_port}") == (True, "ok\n"), "`tidewaiter probe` finds it well")
    report.ok(not probe("-p", "/nowhere", f"127.0.0.1:{sample.admin_port}")[0], "... and says so when an answer is not 200")
    report.ok(not probe(f"127.0.0.1:{labs.free_port()}")[0], "... and when nobody answers")
