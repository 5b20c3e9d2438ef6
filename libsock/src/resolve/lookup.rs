//! One look-up: which server is asked when, and what follows from answers. It
//! neither sends nor waits, so that blocking and asynchronous callers share it.

use alloc::vec::Vec;
use core::{net::SocketAddr, time::Duration};

use domain::base::Rtype;

use super::{
    ResolveError,
    message::{DnsName, ENTROPY, Query, Records, Verdict},
};

/// How often each server is asked.
const ROUNDS: u32 = 3;
/// How long an answer may take in the first round; it doubles with each.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// Servers that are asked.
const MAX_SERVERS: usize = 4;
/// Times that an alias leads to a new question.
const MAX_ALIASES: u32 = 8;

/// How a look-up ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The records.
    Found(Records),
    /// There are none; for how many seconds that holds.
    Absent {
        /// The name has records of other kinds.
        exists: bool,
        /// 0 if it must not be remembered.
        ttl: u32,
    },
}

/// What to do next.
pub enum Action {
    /// Ask [`Lookup::query`] of this server, and tell [`Lookup::heard`].
    Ask {
        /// Whom.
        server: SocketAddr,
        /// By TCP.
        tcp: bool,
        /// How long to wait for the answer.
        wait: Duration,
    },
    /// It is over.
    Done(Result<Outcome, ResolveError>),
}

/// See the module.
pub struct Lookup {
    name: DnsName,
    kind: Rtype,
    servers: Vec<SocketAddr>,
    /// Server and round: `round * servers + server`.
    attempt: u32,
    tcp: bool,
    edns: bool,
    aliases: u32,
    /// TTL of aliases that led to other questions.
    ttl: u32,
    query: Option<Query>,
    end: Option<Result<Outcome, ResolveError>>,
    failure: ResolveError,
}

impl Lookup {
    /// A look-up of the records of `kind` of `name`, at `servers`, best first.
    pub fn new(name: DnsName, kind: Rtype, mut servers: Vec<SocketAddr>) -> Self {
        servers.truncate(MAX_SERVERS);
        Self {
            name,
            kind,
            servers,
            attempt: 0,
            tcp: false,
            edns: true,
            aliases: 0,
            ttl: u32::MAX,
            query: None,
            end: None,
            failure: ResolveError::NoServers,
        }
    }

    /// What to do. `entropy` is new with each call.
    pub fn next(&mut self, entropy: &[u8; ENTROPY]) -> Action {
        if let Some(end) = self.end.take() {
            return Action::Done(end);
        }
        let count = self.servers.len() as u32;
        let Some(server) = self.server().filter(|_| self.attempt < ROUNDS * count) else {
            return Action::Done(Err(self.failure));
        };
        match Query::new(&self.name, self.kind, self.edns, entropy) {
            Ok(query) => self.query = Some(query),
            Err(e) => return Action::Done(Err(e)),
        }
        Action::Ask { server, tcp: self.tcp, wait: FIRST_TIMEOUT * (1 << (self.attempt / count)) }
    }

    /// The server that is asked now.
    pub fn server(&self) -> Option<SocketAddr> {
        let count = self.servers.len();
        self.servers.get((self.attempt as usize).checked_rem(count)?).copied()
    }

    /// The message to send.
    pub fn query(&self) -> &[u8] {
        self.query.as_ref().map(Query::as_slice).unwrap_or_default()
    }

    /// What a message says; `None` if it is no answer to the question.
    pub fn read(&self, message: &[u8]) -> Option<Verdict> {
        self.query.as_ref()?.read(message, self.tcp)
    }

    /// What came of the last [`Action::Ask`].
    pub fn heard(&mut self, result: Result<Verdict, ResolveError>) {
        match result {
            Ok(Verdict::Found(mut records)) => {
                records.ttl = records.ttl.min(self.ttl);
                self.end = Some(Ok(Outcome::Found(records)));
            }
            Ok(Verdict::Absent { exists, ttl }) => {
                self.end = Some(Ok(Outcome::Absent { exists, ttl: ttl.min(self.ttl) }));
            }
            Ok(Verdict::Alias(to)) => {
                self.aliases += 1;
                if self.aliases > MAX_ALIASES {
                    self.end = Some(Err(ResolveError::ServerFailure));
                }
                // How long the alias holds is not known here.
                self.ttl = 0;
                self.name = to;
                self.attempt = 0;
                self.tcp = false;
            }
            Ok(Verdict::Truncated) if !self.tcp => self.tcp = true,
            Ok(Verdict::NoEdns) if self.edns => self.edns = false,
            Ok(Verdict::Truncated | Verdict::NoEdns | Verdict::Failure) => self.fail(ResolveError::ServerFailure),
            Err(e) => self.fail(e),
        }
    }

    /// Another server may do better.
    fn fail(&mut self, failure: ResolveError) {
        self.failure = failure;
        self.attempt += 1;
        self.tcp = false;
        self.edns = true;
    }
}
