//! One name into its addresses: hosts file, search list, both families at once, and the order in which they are best tried.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, Resolver};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::upstream::{LIMIT, Upstream};
use super::{ResolveError, order};
use crate::reach::Families;
use crate::recent::Recent;

/// A configured resolver with its cache.
pub(super) struct Engine {
    dns: Resolver<Upstream>,
    search: Search,
    families: Families,
    /// Queries that got no answer while the other family's did: nobody waits for them.
    unanswered: Arc<Mutex<Recent<(Name, RecordType)>>>,
    queries: Mutex<JoinSet<()>>,
}

/// The `search` and `ndots` of resolv.conf(5).
#[derive(Clone, Debug, Default)]
pub(super) struct Search {
    pub(super) domains: Vec<Name>,
    pub(super) ndots: usize,
}

impl Engine {
    pub(super) fn new(
        upstream: Upstream,
        search: Search,
        families: Families,
    ) -> Result<Self, NetError> {
        // The pool's one server is the upstream; its address is never used.
        let unspecified = IpAddr::from([0, 0, 0, 0]);
        let all = NameServerConfig::new(unspecified, true, vec![ConnectionConfig::udp()]);
        let config = ResolverConfig::from_name_servers(vec![all]);
        let mut builder = Resolver::builder_with_config(config, upstream);
        set_options(builder.options_mut());
        Ok(Self {
            dns: builder.build()?,
            search,
            families,
            unanswered: Arc::default(),
            queries: Mutex::default(),
        })
    }

    /// The addresses of a name, best first. Queries that were begun go on when the future is dropped, for 4 s at most, so
    /// that their answers are there the next time.
    pub(super) async fn look_up(
        &self,
        name: &str,
        hosts: &Hosts,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        // What is no name cannot exist.
        let name = Name::from_ascii(name).map_err(|_| ResolveError::NotFound)?;
        let listed = listed(hosts, &name);
        let mut found = match listed.is_empty() {
            true => self.search(&name).await?,
            false => listed,
        };
        order::sort(&mut found, order::source);
        Ok(found)
    }

    async fn search(&self, name: &Name) -> Result<Vec<IpAddr>, ResolveError> {
        let searching = async {
            for name in candidates(name, &self.search) {
                match self.ask(name).await {
                    Err(ResolveError::NotFound) => {}
                    outcome => return outcome,
                }
            }
            Err(ResolveError::NotFound)
        };
        match timeout(SEARCH_LIMIT, searching).await {
            Ok(outcome) => outcome,
            Err(elapsed) => Err(ResolveError::Failed(Box::new(elapsed))),
        }
    }

    /// RFC 8305 section 3: both families are asked at once, and the second is waited for only shortly when the first has
    /// addresses.
    async fn ask(&self, name: Name) -> Result<Vec<IpAddr>, ResolveError> {
        let mut v4 = self.begin(&name, RecordType::A);
        if self.families == Families::V4Only {
            return verdict(received(v4.await), Answer::NoAddress);
        }
        let mut v6 = self.begin(&name, RecordType::AAAA);
        let (first, second, kind) = tokio::select! {
            biased;
            answer = &mut v6 => (received(answer), v4, RecordType::A),
            answer = &mut v4 => (received(answer), v6, RecordType::AAAA),
        };
        let key = (name, kind);
        let patience = match &first {
            Answer::Found(_) if self.is_unanswered(&key) => Duration::ZERO,
            Answer::Found(_) => RESOLUTION_DELAY,
            Answer::NoSuchName => SECOND_OPINION,
            Answer::NoAddress | Answer::Failed(_) => LIMIT * 2,
        };
        let late = sleep_until(Instant::now() + patience);
        let second = tokio::select! {
            biased;
            answer = second => received(answer),
            () = late => {
                if matches!(first, Answer::Found(_)) {
                    lock(&self.unanswered).insert(key, Instant::now().into_std());
                }
                Answer::NoAddress
            }
        };
        match kind {
            RecordType::A => verdict(first, second),
            _ => verdict(second, first),
        }
    }

    fn is_unanswered(&self, key: &(Name, RecordType)) -> bool {
        lock(&self.unanswered).contains(key, Instant::now().into_std())
    }

    /// Starts a query that nobody needs to wait for. hickory asks the network once when several ask for the same.
    fn begin(&self, name: &Name, kind: RecordType) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let (dns, unanswered) = (self.dns.clone(), Arc::clone(&self.unanswered));
        let name = name.clone();
        let mut queries = lock(&self.queries);
        while queries.try_join_next().is_some() {}
        queries.spawn(async move {
            let answer = judge(dns.lookup(name.clone(), kind).await);
            if !matches!(answer, Answer::Failed(_)) {
                lock(&unanswered).remove(&(name, kind));
            }
            // Nobody may be waiting any more; the cache has it all the same.
            let _ = sender.send(answer);
        });
        receiver
    }
}

/// What the name servers know of one family.
enum Answer {
    Found(Vec<IpAddr>),
    NoSuchName,
    NoAddress,
    Failed(NetError),
}

impl Answer {
    /// Nobody tries thousands of addresses, whatever a name server says.
    fn bounded(mut self) -> Self {
        if let Self::Found(found) = &mut self {
            found.truncate(MOST_ADDRESSES);
        }
        self
    }
}

fn judge(result: Result<Lookup, NetError>) -> Answer {
    match result {
        Ok(lookup) => {
            let records = lookup.answers().iter();
            let found: Vec<IpAddr> = records.filter_map(|record| record.data.ip_addr()).collect();
            match found.is_empty() {
                true => Answer::NoAddress,
                false => Answer::Found(found),
            }
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => match none.response_code {
            ResponseCode::NXDomain => Answer::NoSuchName,
            _ => Answer::NoAddress,
        },
        Err(error) => Answer::Failed(error),
    }
}

fn received(answer: Result<Answer, oneshot::error::RecvError>) -> Answer {
    answer.unwrap_or(Answer::Failed(NetError::Message("the runtime went away")))
}

/// Of both families together: one with addresses is enough, and a failure is not proof that there are none.
fn verdict(v6: Answer, v4: Answer) -> Result<Vec<IpAddr>, ResolveError> {
    match (v6.bounded(), v4.bounded()) {
        (Answer::Found(mut v6), Answer::Found(v4)) => {
            v6.extend(v4);
            Ok(v6)
        }
        (Answer::Found(found), _) | (_, Answer::Found(found)) => Ok(found),
        (Answer::NoSuchName, _) | (_, Answer::NoSuchName) => Err(ResolveError::NotFound),
        (Answer::Failed(error), _) | (_, Answer::Failed(error)) => Err(match error {
            NetError::RustlsError(error) => ResolveError::Untrusted(Box::new(error)),
            error => ResolveError::Failed(Box::new(error)),
        }),
        (Answer::NoAddress, Answer::NoAddress) => Err(ResolveError::NotFound),
    }
}

/// Of both families: as with the system's resolver, DNS is not asked for the other family of a name in the hosts file.
fn listed(hosts: &Hosts, name: &Name) -> Vec<IpAddr> {
    let of = |kind| hosts.lookup_static_host(&Query::query(name.clone(), kind));
    [of(RecordType::AAAA), of(RecordType::A)]
        .iter()
        .flatten()
        .flat_map(Lookup::answers)
        .filter_map(|record| record.data.ip_addr())
        .collect()
}

/// The names to ask for, in order, as resolv.conf(5) says.
fn candidates(name: &Name, search: &Search) -> Vec<Name> {
    let mut itself = name.clone();
    itself.set_fqdn(true);
    if name.is_fqdn() {
        return vec![itself];
    }
    let joined = search
        .domains
        .iter()
        .take(MOST_DOMAINS)
        .filter_map(|domain| {
            let mut joined = name.clone().append_domain(domain).ok()?;
            joined.set_fqdn(true);
            Some(joined)
        });
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    match dots >= search.ndots {
        true => std::iter::once(itself).chain(joined).collect(),
        false => joined.chain(std::iter::once(itself)).collect(),
    }
}

fn set_options(options: &mut ResolverOpts) {
    options.use_hosts_file = ResolveHosts::Never;
    options.attempts = 0;
    // As glibc: what is longer than 512 bytes comes by TCP, which old routers understand and EDNS they do not.
    options.edns0 = false;
    options.num_concurrent_reqs = 1;
    options.timeout = LIMIT;
    options.cache_size = CACHED_ANSWERS;
    options.positive_min_ttl = Some(LEAST_TTL);
    options.positive_max_ttl = Some(MOST_TTL);
    options.negative_max_ttl = Some(MOST_NEGATIVE_TTL);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RFC 8305 section 3.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// Some servers say `NXDOMAIN` for AAAA of names that have an A (RFC 4074 section 4.2), so the other family is heard too.
const SECOND_OPINION: Duration = Duration::from_secs(1);
/// For all names of the search list.
const SEARCH_LIMIT: Duration = Duration::from_secs(5);
/// As glibc before 2.26: no sensible configuration has more.
const MOST_DOMAINS: usize = 6;
/// Of each family.
const MOST_ADDRESSES: usize = 64;
const CACHED_ANSWERS: u64 = 1024;
/// The connections of one transfer are opened within moments, and need not ask for each.
const LEAST_TTL: Duration = Duration::from_secs(1);
/// A process that runs for days notices a move within the hour.
const MOST_TTL: Duration = Duration::from_secs(3600);
/// RFC 2308 section 5 allows hours; a name that was just created should not stay missing.
const MOST_NEGATIVE_TTL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, ndots: usize, domains: &str, expected: &str) {
        let parse = |text: &str| Name::from_ascii(text).unwrap();
        let search = Search {
            domains: domains.split_whitespace().map(parse).collect(),
            ndots,
        };
        let names = candidates(&parse(name), &search);
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn search_lists() {
        check("a.test.", 5, "x.test", "a.test.");
        check("a", 1, "", "a.");
        check("a", 1, "x.test y.test", "a.x.test. a.y.test. a.");
        check("a.b", 1, "x.test", "a.b. a.b.x.test.");
        check("a.b", 2, "x.test", "a.b.x.test. a.b.");
        let many = "a b c d e f g h i j";
        check("n", 1, many, "n.a. n.b. n.c. n.d. n.e. n.f. n.");
    }

    #[test]
    fn both_families_together() {
        let (v6, v4): (IpAddr, IpAddr) = ([0, 0, 0, 0, 0, 0, 0, 1].into(), [127, 0, 0, 1].into());
        let found = |ip| Answer::Found(vec![ip]);
        let failed = || Answer::Failed(NetError::Timeout);
        assert_eq!(verdict(found(v6), found(v4)).unwrap(), [v6, v4]);
        assert_eq!(verdict(Answer::NoSuchName, found(v4)).unwrap(), [v4]);
        assert_eq!(verdict(found(v6), failed()).unwrap(), [v6]);
        let missing = [
            verdict(Answer::NoSuchName, failed()),
            verdict(Answer::NoAddress, Answer::NoAddress),
        ];
        assert!(
            missing
                .iter()
                .all(|v| matches!(v, Err(ResolveError::NotFound)))
        );
        let many = Answer::Found(vec![v4; 5000]);
        assert_eq!(
            verdict(Answer::NoAddress, many).unwrap().len(),
            MOST_ADDRESSES
        );
        let unknown = verdict(Answer::NoAddress, failed());
        assert!(matches!(unknown, Err(ResolveError::Failed(_))));
    }

    #[test]
    fn hosts_files() {
        let mut hosts = Hosts::default();
        let text = "10.0.0.1 four.test both.test\n::1 six.test both.test # no\n";
        hosts.read_hosts_conf(text.as_bytes()).unwrap();
        let check = |name, expected: &str| {
            let found = listed(&hosts, &Name::from_ascii(name).unwrap());
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found.join(" "), expected, "{name}");
        };
        check("four.test", "10.0.0.1");
        check("SIX.test.", "::1");
        check("both.test", "::1 10.0.0.1");
        check("no", "");
    }
}
