//! Every bound in one place, each with its reason.

mod approvals;
mod attest;
mod notices;
mod shares;
mod signing;

pub use self::approvals::{
    APPROVAL_COOL_DOWN_MS, APPROVAL_MS, APPROVAL_VOTES_MAX, APPROVAL_WATCHERS_MAX,
    APPROVAL_WATCHERS_PER_AGENT_MAX, APPROVAL_WATCHERS_PER_TENANT_MAX, APPROVALS_BUT_FOR_THE_KEY_MAX,
    APPROVALS_MAX, APPROVALS_NEEDED_MAX, APPROVALS_PENDING_PER_AGENT_MAX, APPROVALS_PER_AGENT_MAX,
    APPROVALS_PER_TENANT_MAX, JUSTIFICATION_BYTES_MAX,
};
pub use self::attest::{
    CONTAINERS_ASKED_MAX, CONTAINERS_KNOWN_MAX, EXECUTABLE_BYTES_MAX, EXECUTABLE_SECONDS_MAX,
    EXECUTABLES_EXAMINED_MAX, EXECUTABLES_KNOWN_MAX, RUNTIME_ANSWER_BYTES_MAX, RUNTIME_SECONDS_MAX,
};
pub use self::notices::{
    COMMAND_WORDS_MAX, EMERGENCIES_PENDING_MAX, NOTABLE_ENTRIES_MAX, NOTICE_BACKOFF_SECONDS_MAX,
    NOTICE_FAILURES_MAX, NOTICE_REFUSALS_MAX, NOTICE_SECONDS_MAX, NOTICE_SECRET_BYTES_MIN,
    NOTICES_PENDING_MAX, NOTIFIERS_MAX, OPENINGS_PENDING_MAX, REMINDERS_PENDING_MAX, SECRET_FILE_BYTES_MAX,
};
pub use self::shares::{
    AGENT_CERTIFICATES_MAX, BRAKES_PER_OPERATOR_MAX, CALLS_REFUSED_LOG_SECONDS, CHANGES_PER_OPERATOR_MAX,
    COUNTS_PER_OPERATOR_MAX, LEDGER_QUEUE_CALLS, LEDGER_QUEUE_VITAL, LOCKS_PER_OPERATOR_MAX,
    LOCKS_PER_TENANT_MAX, LOCKS_RESERVED, LOCKS_RESERVED_FOR_ALL, OPERATOR_FACTS_MAX, READS_PER_OPERATOR_MAX,
    SECRET_STREAMS_PER_USER_MAX, URGENT_READS_PER_OPERATOR_MAX,
};
pub use self::signing::{SIGNER_CLOCK_SECONDS_MAX, STATEMENT_ID_DIGITS_MIN};

/// Longest action name in bytes. Three or four dotted words fit many times over.
pub const ACTION_BYTES_MAX: usize = 128;
/// Longest name of a tenant, API, agent, operator or group in bytes: a DNS label, which most systems accept.
pub const NAME_BYTES_MAX: usize = 63;
/// Longest resource in bytes. Policies compare it byte for byte; longer ones are data, not names.
pub const RESOURCE_BYTES_MAX: usize = 512;
/// Most path segments of a resource. Each becomes an ancestor that policies can name.
pub const RESOURCE_SEGMENTS_MAX: usize = 16;
/// Longest audience or issuer URI in bytes.
pub const URI_BYTES_MAX: usize = 256;
/// Longest SPIFFE ID in bytes (SPIFFE-ID section 2).
pub const SPIFFE_ID_BYTES_MAX: usize = 2048;
/// Longest trust domain name in bytes (SPIFFE-ID section 2.1).
pub const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// Most parameters of one action.
pub const PARAMETERS_MAX: usize = 16;
/// Longest text parameter in bytes.
pub const PARAMETER_TEXT_BYTES_MAX: usize = 256;
/// Largest magnitude of an integer parameter: what a JSON number carries exactly (RFC 8785 section 3.2.2.3).
pub const PARAMETER_INTEGER_MAX: i64 = 9_007_199_254_740_991;
/// Longest purpose code in bytes.
pub const PURPOSE_BYTES_MAX: usize = 64;
/// Longest idempotency key in bytes: room for a UUID with a prefix.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;

/// Longest life of a credential in seconds (PROFILES 1).
pub const TTL_SECONDS_MAX: u32 = 900;
/// Life of a credential in seconds when neither request nor action says (PROFILES 1).
pub const TTL_SECONDS_DEFAULT: u32 = 120;
/// How far `nbf` lies before `iat`, in seconds: verifiers' clocks lag a little (PROFILES 1).
pub const NOT_BEFORE_SLACK_SECONDS: u32 = 5;
/// How far a certificate's `notBefore` lies before now, in seconds (PROFILES 3).
pub const CERTIFICATE_NOT_BEFORE_SLACK_SECONDS: u32 = 30;

/// Longest PKCS#10 request in bytes: an RSA-4096 request with some extensions is under 2 KiB.
pub const CSR_BYTES_MAX: usize = 8 * 1024;
/// Longest token a verifier reads, in bytes (PROFILES 1).
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Longest DPoP proof in bytes: header with its key and claims take some 600.
pub const PROOF_BYTES_MAX: usize = 8 * 1024;
/// Longest `jti` or `nonce` of a DPoP proof in bytes: a UUID is 36.
pub const PROOF_ID_BYTES_MAX: usize = 256;
/// Oldest DPoP proof that is taken, in seconds. Its `jti` is remembered so long (RFC 9449 section 11.1).
pub const PROOF_AGE_SECONDS_MAX: u32 = 60;
/// DPoP proofs remembered by one verifier, some 40 bytes each: 10,000 a second for the time that they live.
pub const PROOFS_REMEMBERED_MAX: usize = 1 << 20;
/// Tokens whose signature one verifier remembers to have checked, some 1 KiB each: those in use at one time.
pub const TOKENS_KNOWN_MAX: usize = 16 * 1024;
/// Records that the broker remembers for verification, some 1 KiB each: of the credentials in use at one time.
pub const RECORDS_REMEMBERED_MAX: usize = 32 * 1024;
/// Values that one constraint of a token lists.
pub const CONSTRAINT_VALUES_MAX: usize = 64;
/// Ends that one verifier remembers, some 200 bytes each: a million revoked one by one, twice. With more it
/// refuses everything.
pub const ENDS_REMEMBERED_MAX: usize = 2_000_000;
/// Longest line of an SSH public key in bytes: an ECDSA P-384 key in a security key, with a comment.
pub const SSH_KEY_LINE_BYTES_MAX: usize = 1024;
/// Longest application of a security key's key in bytes: `ssh:` and a word.
pub const SSH_APPLICATION_BYTES_MAX: usize = 64;
/// SSH keys of one operator: a few machines and security keys.
pub const SSH_KEYS_PER_OPERATOR_MAX: usize = 16;
/// Longest armored SSH signature in bytes: one of P-384 takes some 500. Read before anybody is known.
pub const SSH_SIGNATURE_BYTES_MAX: usize = 4 * 1024;
/// Longest statement in bytes: an action with all of its parameters takes some 6 KiB.
pub const STATEMENT_BYTES_MAX: usize = 16 * 1024;
/// Lines of one statement: a person reads them.
pub const STATEMENT_LINES_MAX: usize = 128;
/// Longest time in seconds for which a verifier that lost the feed of revocations may answer from what it
/// last heard, when it is configured to try: a credential's longest life would make revocation a formality.
pub const FEED_AGE_SECONDS_MAX: u32 = 300;
/// Longest path of a request that is mapped to an action, in bytes.
pub const PATH_BYTES_MAX: usize = 2048;
/// Routes of one API. Each request is held against all of them.
pub const ROUTES_MAX: usize = 256;

/// Longest common name in characters (RFC 5280 appendix A.1, ub-common-name); PostgreSQL and OpenSSL hold to it.
pub const COMMON_NAME_CHARS_MAX: usize = 64;
/// Longest time between two CRLs in seconds (PROFILES 4). A certificate that lives no longer can't be
/// revoked by a CRL in time, and says so.
pub const CRL_INTERVAL_SECONDS: i64 = 60;
/// Lifetime of a token, in seconds, above which it has a place in a status list (PROFILES 1).
pub const STATUS_LIST_LIFETIME_SECONDS: i64 = 60;
/// How long a signed status list is good for, in seconds (PROFILES 4).
pub const STATUS_LIST_SECONDS: i64 = 60;
/// How long a reader may keep a status list, in seconds (PROFILES 4).
pub const STATUS_LIST_TTL_SECONDS: u32 = 15;
/// Signed status lists that are kept, at most some 90 KiB each. Others are signed anew when asked for.
pub const STATUS_LISTS_KEPT_MAX: usize = 64;
/// Seconds after which a status list or CRL is signed anew although nothing changed: whoever fetches one gets
/// at least three quarters of its life.
pub const PUBLISH_AGAIN_SECONDS: i64 = 15;
/// Most calls of one credential. Each debit is remembered until the credential ends.
pub const CALLS_MAX: u32 = 1_000;
/// Most a verifier forgives between two clocks, in seconds (PROFILES 1).
pub const VERIFY_LEEWAY_SECONDS_MAX: u32 = 30;
/// Largest key file in bytes: an encrypted P-256 key takes some 250.
pub const KEY_FILE_BYTES_MAX: u64 = 4 * 1024;
/// Longest passphrase in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;
/// Most memory that a key file may make us spend on its passphrase, in KiB. Read before it is authenticated.
pub const KEY_DERIVATION_KIB_MAX: u32 = 256 * 1024;
/// Most passes over that memory.
pub const KEY_DERIVATION_PASSES_MAX: u32 = 16;
/// Seconds for which a token key is trusted after another one took over: the longest life of a token, the most that
/// verifiers forgive, and 70 s for a commit that stalls between the choice of a key and its record.
pub const TOKEN_KEY_OVERLAP_SECONDS: i64 = TTL_SECONDS_MAX as i64 + VERIFY_LEEWAY_SECONDS_MAX as i64 + 70;
/// Token keys at once: more rotations than this within the life of a token are refused.
pub const TOKEN_KEYS_MAX: usize = 8;
/// Keys of one JWKS that a verifier reads.
pub const JWKS_KEYS_MAX: usize = 64;

/// Most selectors of one piece of evidence.
pub const SELECTORS_MAX: usize = 64;
/// Longest selector value in bytes: a path (PATH_MAX is 4096).
pub const SELECTOR_VALUE_BYTES_MAX: usize = 4096;

/// Supplementary groups of a process that become evidence. With more of them none does, so that the other
/// facts keep their room in [`SELECTORS_MAX`].
pub const GROUPS_MAX: usize = 32;
/// Connections that wait to be accepted on a Unix socket. The kernel caps it at `net.core.somaxconn`.
pub const ACCEPT_BACKLOG_MAX: i32 = 1_024;

/// Longest log entry in bytes (PROFILES 5; C2SP tlog-tiles entry bundles carry a 16-bit length).
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// Longest reason an operator may give, in bytes.
pub const REASON_BYTES_MAX: usize = 200;

/// Commands that wait for the ledger's writer. At 64 a group this is some 50 ms of work; more means overload.
pub const LEDGER_QUEUE_MAX: usize = 1024;
/// Commands in one commit group. Bounds the latency of the first and the size of one write.
pub const LEDGER_GROUP_MAX: usize = 256;
/// Credentials whose records the ledger keeps in memory, so that ending one soon after reads no disk: some 1 KiB each, and 15
/// of the largest.
pub const RECENT_CREDENTIALS_MAX: usize = 1_024;
/// Oldest command the writer still commits, in milliseconds. The index finds a credential by the time in
/// its id, so the distance between minting and commit must be bounded.
pub const LEDGER_COMMAND_AGE_MS_MAX: i64 = 10_000;
/// Bytes of records after which a commit group is closed. Bounds one write and a reader's buffer.
pub const LEDGER_GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Bytes after which the journal starts a new segment: recovery reads one segment into memory.
pub const JOURNAL_SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How far the clock may be behind the newest entry for minting to go on, in milliseconds: a step that a
/// time service makes between two runs. Beyond it the clock is wrong, or was (promise P11).
pub const CLOCK_BEHIND_MS_MAX: i64 = 2_000;
/// How far the clock may be ahead of the newest entry at a start, in milliseconds: 30 days. A broker that was off for longer
/// is rare, and an entry that is recorded on a clock that is years ahead stops minting until that time has come.
pub const CLOCK_AHEAD_MS_MAX: i64 = 30 * 86_400_000;
/// How far the wall clock may step against the boot clock in one run, in milliseconds: leap seconds.
pub const CLOCK_DRIFT_MS_MAX: i64 = 2_000;
/// Groups that one listing call looks at before it answers with what it has and a page token.
pub const PAGE_SCAN_GROUPS_MAX: usize = 50_000;
/// Idempotency keys remembered for one agent. Beyond it new keys are refused, never old ones forgotten.
pub const IDEMPOTENCY_KEYS_PER_AGENT_MAX: usize = 10_000;

/// Items on a page when the caller does not say.
pub const PAGE_SIZE_DEFAULT: usize = 100;
/// Most items on a page.
pub const PAGE_SIZE_MAX: usize = 1_000;

/// Largest request message in bytes. The largest field is a CSR or a token.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Concurrent HTTP/2 streams of one connection (a connection without this bound took 446 MB).
pub const STREAMS_MAX: u32 = 256;
/// Header list of one request in bytes.
pub const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Connections of one listener.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Connections of one user on a Unix socket: half, so that no user keeps the others out.
pub const CONNECTIONS_PER_USER_MAX: usize = CONNECTIONS_MAX / 2;
/// Seconds in which a connection must have sent its HTTP/2 preface, or its HTTP/1 header.
pub const PREFACE_SECONDS_MAX: u64 = 10;
/// Seconds that one request may take, with its wait for the ledger.
pub const REQUEST_SECONDS_MAX: u64 = 10;
/// Seconds between HTTP/2 pings, and for their answer: a dead peer's connection ends within their sum.
pub const KEEPALIVE_SECONDS: u64 = 20;
/// Connections of one HTTP/1 listener: it serves small documents that clients keep.
pub const HTTP_CONNECTIONS_MAX: usize = 256;
/// Connections of one address (an IPv6 /64) on an HTTP/1 listener: a quarter, so that no host keeps others out, and
/// room for a proxy behind which there are many.
pub const HTTP_CONNECTIONS_PER_ADDRESS_MAX: usize = HTTP_CONNECTIONS_MAX / 4;
/// Seconds that one HTTP/1 connection may be open: its documents are small and cached.
pub const HTTP_CONNECTION_SECONDS_MAX: u64 = 60;
/// Seconds that a drain waits for requests in flight; above [`REQUEST_SECONDS_MAX`].
pub const DRAIN_SECONDS_MAX: u64 = 15;

/// Bytes of each of the two buffers that the kernel keeps for a TCP connection; it takes twice as many, for its own lists.
/// Left to itself it goes up to 4 MiB and 32 MiB for a peer that sends and does not read, which no memory of ours shows.
pub const SOCKET_BUFFER_BYTES: usize = 64 * 1024;
/// Connections of one TCP listener.
pub const TLS_CONNECTIONS_MAX: usize = 1_024;
/// Connections of one address (an IPv6 /64) on a TCP listener: an eighth, so that no host keeps others out.
pub const TLS_CONNECTIONS_PER_ADDRESS_MAX: usize = TLS_CONNECTIONS_MAX / 8;
/// Connections of one client certificate on a TCP listener. Each can hold a hundred answers that nobody
/// takes, some MiB; a client that needs more than 1,600 calls at once has more certificates.
pub const TLS_CONNECTIONS_PER_CERTIFICATE_MAX: usize = 16;
/// Concurrent HTTP/2 streams of one connection on a TCP listener: what RFC 9113 section 6.5.2 recommends at
/// least. Answers that a peer asks for and does not read are kept, so there are fewer than on a Unix socket.
pub const TLS_STREAMS_MAX: u32 = 100;
/// Handshakes of one TCP listener at once. One costs some 50 KiB and a millisecond of a core.
pub const HANDSHAKES_MAX: usize = 128;
/// Handshakes of one address at once: whoever opens and says nothing waits in its own share.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = HANDSHAKES_MAX / 4;
/// Seconds in which a TLS handshake must be done: some round trips on a bad line.
pub const HANDSHAKE_SECONDS_MAX: u64 = 5;
/// Streams of one connection that its peer opened and reset again before we looked at them (CVE-2023-44487), at one time;
/// and those that we reset because they were against the protocol, in all. Beyond it the connection ends.
pub const RESET_STREAMS_MAX: usize = 20;
/// Seconds of a connection on a TCP listener when the configuration does not say.
pub const TLS_CONNECTION_SECONDS_DEFAULT: u64 = 3_600;
/// Seconds that the configuration may give a connection: its peer is asked for its certificate again then.
pub const TLS_CONNECTION_SECONDS_MAX: u64 = 24 * 3_600;
/// Descriptors that the daemon wants: all connections of seven gRPC and two HTTP listeners, some 8,000, and as
/// many again for files, and for the processes that attestation looks at.
pub const DESCRIPTORS_WANTED: u64 = 16 * 1024;
/// Certificates of one chain that a peer may present: a leaf and what stands between it and a root.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;
/// Trust bundles of one configuration.
pub const TRUST_BUNDLES_MAX: usize = 64;
/// Roots of one trust bundle: two authorities in rotation, in some regions.
pub const TRUST_BUNDLE_ROOTS_MAX: usize = 64;
/// Names of one server certificate.
pub const SERVER_NAMES_MAX: usize = 32;
/// Seconds of a certificate of an agent's identity whose key was made here, as long as the longest credential. It is
/// made anew after half of it.
pub const AGENT_CERTIFICATE_SECONDS: i64 = 900;
/// Seconds of a server certificate that we mint for our own listeners. It is renewed after half of it.
pub const SERVER_CERTIFICATE_SECONDS: i64 = 24 * 3_600;
/// Seconds between two looks at certificates, keys and trust bundles in files.
pub const CERTIFICATE_FILES_SECONDS: u64 = 30;
/// Bytes of one file of certificates.
pub const CERTIFICATE_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Shortest life of an operator's or verifier's certificate, in seconds.
pub const ENROLLMENT_SECONDS_MIN: u32 = 60;
/// Life of an operator's or verifier's certificate in seconds when the enrolment does not say: a month.
pub const ENROLLMENT_SECONDS_DEFAULT: u32 = 30 * 86_400;
/// Longest life of an operator's or verifier's certificate in seconds: a year and a day.
pub const ENROLLMENT_SECONDS_MAX: u32 = 366 * 86_400;
/// Certificates of one operator or verifier at once: a few machines, each with the next one already there.
pub const ENROLLMENTS_PER_NAME_MAX: usize = 16;
/// Certificates of all operators and verifiers at once. All are in memory, some 300 bytes each.
pub const ENROLLMENTS_MAX: usize = 10_000;

/// Certificates of operators and verifiers that are good, or were removed and would still be: those are on the
/// CRL of the identity CA, 40 bytes each. With more, nobody is enrolled until some have expired.
pub const ENROLLMENTS_REMEMBERED_MAX: usize = 10 * ENROLLMENTS_MAX;

/// Registry files of one kind.
pub const REGISTRY_FILES_MAX: usize = 20_000;
/// Bytes of one registry file.
pub const REGISTRY_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Bytes of a form over HTTP: a token whose every character is percent-encoded, and some parameters beside it.
pub const FORM_BYTES_MAX: usize = 3 * TOKEN_BYTES_MAX + 4 * 1024;
/// Parameters of one form.
pub const FORM_PARAMETERS_MAX: usize = 16;
/// Resource servers that may introspect over HTTP. Each request looks at all of them.
pub const RESOURCE_SERVERS_MAX: usize = 1_000;
/// Longest time that a new token key is published before it signs, in seconds: a month.
pub const KEY_PUBLISH_AHEAD_SECONDS_MAX: u64 = 30 * 86_400;
/// Longest owner or purpose text in the registry, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 500;
/// Bytes of all registry files together: 10,000 policies are some 2 MiB.
pub const REGISTRY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Longest name of a registry file with its directory, in bytes: NAME_MAX is 255.
pub const REGISTRY_NAME_BYTES_MAX: usize = 300;
/// Bytes of a sealed copy: all files, and for each of the most that there can be its name and two lengths.
pub const SEALED_BYTES_MAX: u64 = REGISTRY_BYTES_MAX + 5 * 20_000 * 308 + 1024;
/// Policies of one registry. Each costs some 2 KiB and its validation at load.
pub const POLICIES_MAX: usize = 50_000;
/// Problems that one check reports; whoever has more has one cause.
pub const PROBLEMS_MAX: usize = 1_000;

/// How long after its beginning a lineage may be minted in, in seconds: a day, for a request that waits to be
/// approved. An end of a lineage is remembered so long, and the last life beyond it.
pub const LINEAGE_SECONDS_MAX: u32 = 24 * 3600;

/// Longest owner or principal in bytes: a principal can be an agent's SPIFFE ID.
pub const PARTY_BYTES_MAX: usize = SPIFFE_ID_BYTES_MAX;
/// Longest key id in bytes: a thumbprint has 43.
pub const KEY_ID_BYTES_MAX: usize = 128;
/// Locks in force. Each issuance looks at those that name it, and an incident needs a handful.
pub const LOCKS_MAX: usize = 1_000;
/// Longest time that a lock lasts, in seconds: a week. What should stay shut is a change of the policy.
pub const LOCK_SECONDS_MAX: u32 = 7 * 24 * 3600;
/// How long a lock lasts when its maker does not say, in seconds.
pub const LOCK_SECONDS_DEFAULT: u32 = 3600;

/// Ends that a verifier can resume over, some 200 bytes each. One that was away for longer gets a snapshot.
pub const FEED_HISTORY_MAX: usize = 16_384;
/// Ends in one message of the feed: 1,000 of the longest kind fit in a message.
pub const FEED_MESSAGE_DELTAS_MAX: usize = 1_000;
/// Messages that wait for one subscriber before the broker waits with it.
pub const FEED_QUEUE_MAX: usize = 8;
/// Seconds in which a subscriber must have taken a message; then it is dropped.
pub const FEED_STALL_SECONDS_MAX: u64 = 10;
/// Seconds between two messages of a quiet feed.
pub const FEED_HEARTBEAT_SECONDS: u64 = 5;
/// Subscribers to the feed at once: ten times what is measured.
pub const SUBSCRIBERS_MAX: usize = 1_000;
/// Subscribers of one verifier: so that none keeps the others out.
pub const SUBSCRIBERS_PER_VERIFIER_MAX: usize = SUBSCRIBERS_MAX / 4;
/// Streams of verifiers remembered with what was acknowledged on them; those that ended make room first.
pub const VERIFIER_STREAMS_MAX: usize = 2 * SUBSCRIBERS_MAX;
/// Seconds in which a verifier whose broker starts again is back: the longest wait between two of its tries, and one more.
pub const FEED_RETURN_SECONDS_MAX: u64 = 6;
/// Streams of secrets (Envoy's SDS) at once: one for each secret of each worker's configuration.
pub const SECRET_STREAMS_MAX: usize = 256;
/// Names that one request for secrets may have: there are three secrets, and names that are none of them are passed over.
pub const SECRET_NAMES_MAX: usize = 16;
/// Largest answer with secrets in bytes: the CRL of some 500,000 revoked certificates that have not expired.
/// Beyond it no answer is given, Envoy's CRL ends within a minute, and it refuses every certificate.
pub const SECRETS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Seconds between two looks at what a stream of secrets has to send. What ends is looked at sooner.
pub const SECRETS_LOOK_SECONDS: u64 = 1;
/// Longest time that a revocation waits for acknowledgements, in seconds; below [`REQUEST_SECONDS_MAX`].
pub const WAIT_SECONDS_MAX: u64 = 8;
/// Longest time that a count of what a selector covers may take, in milliseconds, when the caller waits
/// anyhow. Beyond it the count is a lower bound: nobody waits for a census in an incident.
pub const COUNT_MS_MAX: u64 = 500;
/// The same for a revocation that waits for nobody: its acknowledgement must not be late for the count.
pub const COUNT_UNASKED_MS_MAX: u64 = 2;
/// Entries that a count reads between two looks at the clock: about half a millisecond.
pub const COUNT_ENTRIES: usize = 100;

/// Longest name of an incident's ticket in bytes: an address of one fits.
pub const TICKET_BYTES_MAX: usize = 128;
/// How long a break-glass session lasts, in seconds, when its playbook does not say: time for one repair.
pub const BREAK_GLASS_SECONDS_DEFAULT: u32 = 30 * 60;
/// Longest life of a break-glass session in seconds. What takes longer is extended, and signed again.
pub const BREAK_GLASS_SECONDS_MAX: u32 = 4 * 3_600;
/// Most people that one playbook can ask for: more of them are never awake at once.
pub const BREAK_GLASS_QUORUM_MAX: u8 = 8;
/// How long a proposal can be signed, in seconds, no more and no less: time to reach the second person. It is
/// remembered for as long after its first signature, so that its signatures are good once.
pub const PROPOSAL_SECONDS_MAX: i64 = 15 * 60;
/// Proposals of one signer within that time from their records, finished or not. They are counted for each person, so that nobody
/// takes another's place.
pub const PROPOSALS_PER_SIGNER_MAX: usize = 8;
/// Sessions of one playbook that are open or whose review is owed; its drills are counted apart. Only its own signers
/// could fill this, and they stand in the way of no other playbook.
pub const BREAK_GLASS_SESSIONS_MAX: usize = 16;
/// For how long all locks and revocations of a brake together are tried while the ledger's queue is full, and the record of a
/// refused call is, in milliseconds: below [`REQUEST_SECONDS_MAX`], with what comes before and after.
pub const INSIST_MS_MAX: u64 = 6_000;
/// The first wait between two tries, in milliseconds: some groups of the ledger's. Each is twice the one before.
pub const INSIST_WAIT_MS: u64 = 50;
/// The longest of these waits, in milliseconds.
pub const INSIST_WAIT_MS_MAX: u64 = 400;
/// Seconds after a session's end in which its review is due: three days, a weekend.
pub const REVIEW_DUE_SECONDS: i64 = 3 * 86_400;
/// How often an open session is told of again, in seconds, when the configuration does not say: twice in the half hour
/// that a session lasts.
pub const BREAK_GLASS_REMIND_SECONDS_DEFAULT: u64 = 10 * 60;
/// Longest time between two reminders of an open session, in seconds: some within the longest life of one.
pub const BREAK_GLASS_REMIND_SECONDS_MAX: u64 = 3_600;
/// Seconds between two reminders of a review that is overdue: a day.
pub const REVIEW_REMIND_SECONDS: u64 = 86_400;
/// Actions, agents, resources, selectors or names in one list of a playbook.
pub const PLAYBOOK_ITEMS_MAX: usize = 32;
/// Bytes of a playbook's scope in a log entry: room for what else stands there.
pub const PLAYBOOK_SCOPE_BYTES_MAX: usize = 12 * 1024;
/// Playbooks of one registry.
pub const PLAYBOOKS_MAX: usize = 256;

/// Bytes of the emergency journal, written when the state directory is made: some 3,000 entries.
pub const EMERGENCY_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes of it that are kept for what an emergency is about: sessions, grants under them, and what ends something.
pub const EMERGENCY_RESERVED_BYTES: u64 = EMERGENCY_BYTES / 2;
/// Bytes of these that only what ends, locks or closes something may use: some 200 entries, so that a holder of a
/// session, or a responder, who fills the rest can be stopped.
pub const EMERGENCY_LAST_BYTES: u64 = 256 * 1024;
/// Bytes of that last part which one operator may use for ends: some 80 entries, so that none keeps the others from stopping
/// anything.
pub const EMERGENCY_OPERATOR_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of it which that operator has beyond for the kill switch, everything at once, and for closing sessions.
pub const EMERGENCY_OPERATOR_BYTES_SPARE: u64 = 32 * 1024;
/// Bytes that one break-glass session may use for its grants and their debits: 70 of the longest, some 250 usual ones.
pub const EMERGENCY_SESSION_BYTES_MAX: u64 = 512 * 1024;
/// Bytes of the entries that are carried forward for an emergency start: 100,000 usual ones, 1,000 of the longest. With
/// more of them it reads the whole log.
pub const CARRIED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that the store must take at a start for it to be an ordinary one: less would last for minutes.
pub const STORE_PROBE_BYTES: usize = 4 * 1024 * 1024;
