//! What every proxy must do, whichever it is: let through what is permitted, refuse the rest, on connections that are open and on
//! new ones, and refuse everything without the broker.

use rustix::process::Signal;

use crate::scene::{LIFE, READ, SITE, Scene, end};
use crate::support::eventually;
use crate::tls::Answer;

const PULLS: &str = "/repos/acme/site/pulls";

impl Scene {
    /// Everything that holds of a proxy on `port`, which answers `away` when the broker is. The scene has none afterwards.
    pub fn holds(&self, port: u16, proxy: &str, away: u16) {
        self.tokens(port);
        self.counted(port);
        self.paths(port);
        self.promptly(port, proxy);
        self.expiring(port);
        self.sessions(port);
        self.drills(port);
        self.certificates(port);
        self.fails_closed(port, away);
    }

    /// A token and a certificate that end by themselves, on connections that are open.
    fn expiring(&self, port: u16) {
        let (mut plain, lasting) = (self.client(port, None), self.token("repo.file.read"));
        let token = self.agent.token_with(&self.daemon, "repo.file.read", SITE, &["--ttl", LIFE]);
        let (folder, issued) = self.issued("expiring", LIFE);
        let mut certified = self.client(port, Some(&folder));
        assert_eq!(self.read(&mut plain, &token).status, 200, "while it lives");
        // The certificate's end is the later one.
        Self::expires(end(&issued), &mut [&mut || certified.ask("GET", READ, &[])]);
        assert_eq!(self.read(&mut plain, &token).refused(), (401, "credential-expired"));
        assert_eq!(self.read(&mut plain, &lasting).status, 200, "the connection is good for others");
        assert_ne!(self.client(port, Some(&folder)).first(READ), Some(200), "nor on a new one");
    }

    /// What was minted under a session dies with it, on connections that are open.
    fn sessions(&self, port: u16) {
        let session = self.opened("open", "read");
        let (token, folder) = self.minted(&session, "session");
        let (mut plain, mut certified) = (self.client(port, None), self.client(port, Some(&folder)));
        assert_eq!(self.read(&mut plain, &token).status, 200);
        assert_eq!(certified.ask("GET", READ, &[]).status, 200);
        self.close(&session);
        assert_eq!(self.read(&mut plain, &token).refused(), (401, "credential-ended"));
        assert_eq!(certified.ask("GET", READ, &[]).refused(), (401, "credential-ended"));
        // The connection itself is good for others.
        assert_eq!(self.read(&mut plain, &self.token("repo.file.read")).status, 200);
    }

    /// What was minted in a drill gets nowhere: the token is nobody's, and so is the certificate, to the proxy itself.
    fn drills(&self, port: u16) {
        let drill = self.opened("drill", "read");
        let (token, folder) = self.minted(&drill, "drill");
        let before = self.upstream.served();
        assert_eq!(self.read(&mut self.client(port, None), &token).refused(), (401, "credential-key"));
        let first = self.client(port, Some(&folder)).first(READ);
        assert!([None, Some(400)].contains(&first), "{first:?}");
        assert_eq!(self.upstream.served(), before, "something came through");
        self.close(&drill);
    }

    /// A revoked token is refused with the next request: the proxy asks, so there is nothing to wait for.
    fn promptly(&self, port: u16, proxy: &str) {
        let mut open = self.client(port, None);
        let read = || self.token("repo.file.read");
        let asked = self.felt(proxy, read, |token| {
            let answer = self.read(&mut open, token);
            assert!(answer.status == 200 || answer.refused() == (401, "credential-ended"), "{answer:?}");
            answer.status != 200
        });
        assert!(
            asked.iter().all(|asked| *asked == 1),
            "{proxy}: served after the acknowledgement: {asked:?}"
        );
    }

    /// Nothing passes while the broker hangs, or once it is gone: on connections that are open, and on new ones. `status` is the
    /// proxy's own answer to that. The scene has no broker afterwards.
    fn fails_closed(&self, port: u16, status: u16) {
        let (token, folder) = (self.token("repo.file.read"), self.certificate("lasting"));
        let fresh = |certificate| self.client(port, certificate);
        for (signal, what) in [(Signal::STOP, "it hangs"), (Signal::KILL, "it is gone")] {
            eventually("it is asked", || self.read(&mut fresh(None), &token).status == 200);
            // A proxy may end a connection on which it had such an answer, so each is asked once.
            let (mut plain, mut certified) = (fresh(None), fresh(Some(&folder)));
            assert_eq!(self.read(&mut plain, &token).status, 200);
            assert_eq!(certified.ask("GET", READ, &[]).status, 200);
            let served = self.upstream.served();
            self.daemon.signal(signal);
            eventually(what, || self.is_still());
            assert_eq!(self.read(&mut plain, &token).status, status, "{what}");
            assert_eq!(certified.ask("GET", READ, &[]).status, status, "{what}");
            assert_eq!(self.read(&mut fresh(None), &token).status, status, "{what}, on a new one");
            assert_eq!(fresh(Some(&folder)).first(READ), Some(status), "{what}, on a new one");
            assert_eq!(self.upstream.served(), served, "something came through: {what}");
            self.daemon.signal(Signal::CONT);
        }
    }

    /// Whether no thread of the broker runs any more: a signal takes effect a moment after it was sent.
    fn is_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.daemon.pid())).unwrap();
        tasks.filter_map(Result::ok).all(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // Stopped, or dead; a thread that is gone has no such file.
            stat.rsplit(") ")
                .next()
                .is_none_or(|state| state.is_empty() || state.starts_with(['T', 'Z', 'X']))
        })
    }

    fn tokens(&self, port: u16) {
        let (token, other) = (self.token("repo.file.read"), self.token("repo.pull.open"));
        let mut open = self.client(port, None);
        let stranger = open.ask("GET", READ, &[]);
        assert_eq!(stranger.refused(), (401, "credential-missing"), "{stranger:?}");
        assert!(stranger.header("www-authenticate").unwrap().starts_with("DPoP algs="), "{stranger:?}");
        let before = self.upstream.served();
        let permitted = self.read(&mut open, &token);
        assert_eq!(permitted.status, 200, "{permitted:?}");
        let agent = "x-hotwork-agent: spiffe://example.org/tenant/default/agent/coder";
        assert!(permitted.body.to_ascii_lowercase().contains(agent), "{permitted:?}");
        assert_eq!(self.upstream.served(), before + 1);
        // What a client sends under the same name does not reach the API.
        let proof = self.agent.proof(&token, "GET", READ);
        let authorization = format!("DPoP {}", token.text);
        let headers = [("Authorization", &*authorization), ("DPoP", &proof), ("X-Hotwork-Agent", "root")];
        let forged = open.ask("GET", READ, &headers);
        assert!(forged.status == 200 && !forged.body.contains("root"), "{forged:?}");
        // The same proof once more, a bound token as a bearer token, two credentials at once.
        assert_eq!(open.ask("GET", READ, &headers[..2]).refused(), (401, "proof-replayed"));
        let bearer = format!("Bearer {}", token.text);
        assert_eq!(open.ask("GET", READ, &[("Authorization", &bearer)]).refused(), (401, "proof-missing"));
        // Another action, on the same connection.
        assert_eq!(self.read(&mut open, &other).refused(), (403, "action-other"));
        assert_eq!(self.show(&mut open, &other, "POST", PULLS, PULLS).status, 200);
        // Revoked: refused on the open connection and on a new one. The other lives.
        self.revoke(&["--credential", &token.id]);
        assert_eq!(self.read(&mut open, &token).refused(), (401, "credential-ended"));
        assert_eq!(self.read(&mut self.client(port, None), &token).refused(), (401, "credential-ended"));
        assert_eq!(self.show(&mut open, &other, "POST", PULLS, PULLS).status, 200);
    }

    fn counted(&self, port: u16) {
        let token = self.token("repo.pull.close");
        let mut open = self.client(port, None);
        // What is refused costs no call.
        let elsewhere = "/repos/acme/payroll/pulls";
        let refused = self.show(&mut open, &token, "DELETE", elsewhere, elsewhere);
        assert_eq!(refused.refused(), (403, "resource-other"));
        let before = self.upstream.served();
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let one = || {
                let mut client = self.client(port, None);
                self.show(&mut client, &token, "DELETE", PULLS, PULLS)
            };
            let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
        assert_eq!(self.upstream.served(), before + 1);
        let again = self.show(&mut open, &token, "DELETE", PULLS, PULLS);
        assert_eq!(again.refused(), (401, "calls-exhausted"));
    }

    fn paths(&self, port: u16) {
        let token = self.token("repo.file.read");
        let before = self.upstream.served();
        for target in [
            "/repos/acme/payroll/contents",
            "/repos/acme/site/contents/",
            "/repos/acme/site//contents",
            "/repos/acme/payroll/../site/contents",
            "/repos/acme/site/contents/../../payroll/contents",
            "/repos/acme/%73ite/contents",
            "/repos/acme%2fsite/contents",
            "/repos/acme/site/contents?ref=../../payroll",
            "/repos/acme/site/contents;x",
            "/",
        ] {
            let mut client = self.client(port, None);
            let refused = self.show(&mut client, &token, "GET", target, READ);
            assert!([400, 401, 403].contains(&refused.status), "{target}: {refused:?}");
            let honest = target.split('?').next().unwrap();
            let refused = self.show(&mut self.client(port, None), &token, "GET", target, honest);
            assert!([400, 401, 403].contains(&refused.status), "{target}: {refused:?}");
        }
        let proof = self.agent.proof(&token, "GET", READ);
        let authorization = format!("DPoP {}", token.text);
        for header in ["X-HTTP-Method-Override", "X-Original-URL"] {
            let headers = [("Authorization", &*authorization), ("DPoP", &*proof), (header, "DELETE")];
            let refused = self.client(port, None).ask("GET", READ, &headers);
            assert!([401, 403].contains(&refused.status), "{header}: {refused:?}");
        }
        assert_eq!(self.upstream.served(), before, "something came through");
    }

    fn certificates(&self, port: u16) {
        let folder = self.certificate("cert");
        let mut open = self.client(port, Some(&folder));
        let permitted = open.ask("GET", READ, &[]);
        assert_eq!(permitted.status, 200, "{permitted:?}");
        assert_eq!(open.ask("POST", PULLS, &[]).refused(), (403, "action-other"));
        // A certificate in a header is nobody's: without the key it proves nothing.
        let pem = std::fs::read_to_string(folder.join("cert.pem"))
            .unwrap()
            .replace('\n', "%0A")
            .replace(' ', "%20");
        let stolen = [("X-Original-Client-Certificate", &*pem), ("X-Forwarded-Client-Cert", &pem)];
        assert_eq!(self.client(port, None).ask("GET", READ, &stolen).refused(), (401, "credential-missing"));
        self.revoke(&["--agent", "spiffe://example.org/tenant/default/agent/coder"]);
        assert_eq!(open.ask("GET", READ, &[]).refused(), (401, "credential-ended"));
        let again = self.client(port, Some(&folder)).ask("GET", READ, &[]);
        assert_eq!(again.refused(), (401, "credential-ended"));
        // What is issued after it lives.
        let after = self.certificate("after");
        assert_eq!(self.client(port, Some(&after)).ask("GET", READ, &[]).status, 200);
    }
}
