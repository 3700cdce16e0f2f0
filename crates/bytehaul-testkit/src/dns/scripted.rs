//! A name server of our own for what no real one does on command: silence, failure, delay, answers that are cut off.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Host, Question};

/// How questions are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// With the addresses that it was given; NXDOMAIN for other names.
    #[default]
    Answer,
    /// Never.
    Drop,
    /// With them, but only after this time.
    Delay(Duration),
    /// With SERVFAIL.
    ServFail,
    /// With REFUSED.
    Refused,
    /// With NXDOMAIN, whatever it was given.
    NxDomain,
    /// Over UDP with no address and the flag that tells to come back over TCP (RFC 7766); as it should be over TCP.
    Truncated,
    /// With bytes that are no answer at all.
    Garbage,
}

/// Settings of a [`ScriptedServer`] that is not yet started.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Scripted {
    hosts: Vec<Host>,
    a: Reply,
    aaaa: Reply,
}

impl Scripted {
    /// One that knows nothing and answers as it should.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a name an address, to be remembered for so many seconds. A name can have several of both families.
    pub fn host(mut self, name: &str, address: impl Into<IpAddr>, ttl: u32) -> Self {
        let (name, address) = (name.to_owned(), address.into());
        self.hosts.push(Host { name, address, ttl });
        self
    }

    /// How questions for IPv4 addresses are answered.
    pub fn a(mut self, reply: Reply) -> Self {
        self.a = reply;
        self
    }

    /// How questions for IPv6 addresses are answered.
    pub fn aaaa(mut self, reply: Reply) -> Self {
        self.aaaa = reply;
        self
    }

    /// How all questions are answered.
    pub fn all(self, reply: Reply) -> Self {
        self.a(reply).aaaa(reply)
    }

    /// Starts it in a thread of its own.
    ///
    /// # Panics
    /// When loopback has no free port or no thread can be made.
    #[must_use]
    pub fn start(self) -> ScriptedServer {
        ScriptedServer::start(self).expect("loopback has a free port")
    }
}

/// A running scripted name server. Dropping it closes its ports.
#[derive(Debug)]
pub struct ScriptedServer {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedServer {
    fn start(script: Scripted) -> io::Result<Self> {
        let port = crate::daemon::free_port()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let state = Arc::new(State {
            script: Mutex::new(script),
            questions: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let udp = Arc::new(runtime.block_on(UdpSocket::bind(address))?);
        let tcp = runtime.block_on(TcpListener::bind(address))?;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Arc::clone(&state);
        let serve = async move {
            tokio::select! {
                () = serve(udp, tcp, serving) => (),
                _ = stopped => (),
            }
        };
        let thread = std::thread::Builder::new()
            .name("testkit-names".to_owned())
            .spawn(move || runtime.block_on(serve))?;
        Ok(Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it answers over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on knows and answers as these settings say.
    pub fn change(&self, script: Scripted) {
        *lock(&self.state.script) = script;
    }

    /// All that it was asked so far, in order, the same question over TCP once more.
    #[must_use]
    pub fn questions(&self) -> Vec<Question> {
        lock(&self.state.questions).clone()
    }

    /// How often it was asked for records of this type (`A`, `AAAA`) of this name.
    #[must_use]
    pub fn asked(&self, name: &str, kind: &str) -> usize {
        let wanted = Question::new(name, kind);
        let questions = lock(&self.state.questions);
        questions.iter().filter(|&one| *one == wanted).count()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic was printed where it happened.
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct State {
    script: Mutex<Scripted>,
    questions: Mutex<Vec<Question>>,
}

impl State {
    /// What to send back, and when.
    fn answer(&self, asked: &[u8], transport: Transport) -> Option<(Duration, Vec<u8>)> {
        let message = Message::from_vec(asked).ok()?;
        let question = message.queries.first()?;
        let name = question.name().to_utf8();
        let kind = question.query_type();
        lock(&self.questions).push(Question::new(&name, &kind.to_string()));
        lock(&self.script).answer(message, transport)
    }
}

impl Scripted {
    fn answer(&self, message: Message, transport: Transport) -> Option<(Duration, Vec<u8>)> {
        let reply = match message.queries.first()?.query_type() {
            RecordType::A => self.a,
            RecordType::AAAA => self.aaaa,
            _ => Reply::Answer,
        };
        let code = |code| (Duration::ZERO, self.response(&message, Some(code)));
        let (delay, response) = match (reply, transport) {
            (Reply::Drop, _) => return None,
            (Reply::Garbage, _) => return Some((Duration::ZERO, b"no answer at all".to_vec())),
            (Reply::Delay(time), _) => (time, self.response(&message, None)),
            (Reply::ServFail, _) => code(ResponseCode::ServFail),
            (Reply::Refused, _) => code(ResponseCode::Refused),
            (Reply::NxDomain, _) => code(ResponseCode::NXDomain),
            (Reply::Truncated, Transport::Udp) => {
                let mut response = self.response(&message, Some(ResponseCode::NoError));
                response.metadata.truncation = true;
                (Duration::ZERO, response)
            }
            (Reply::Answer, _) | (Reply::Truncated, Transport::Tcp) => {
                (Duration::ZERO, self.response(&message, None))
            }
        };
        Some((delay, response.to_vec().expect("an answer can be written")))
    }

    /// An answer with this code and no records, or else with what is known.
    fn response(&self, message: &Message, code: Option<ResponseCode>) -> Message {
        let query = &message.queries[0];
        let mut response = Message::response(message.metadata.id, message.metadata.op_code);
        response.add_query(query.clone());
        response.metadata.recursion_desired = message.metadata.recursion_desired;
        response.metadata.recursion_available = true;
        if let Some(code) = code {
            response.metadata.response_code = code;
            return response;
        }
        let asked = Question::new(&query.name().to_utf8(), "").name;
        let known: Vec<&Host> = self.hosts.iter().filter(|one| one.name == asked).collect();
        if known.is_empty() {
            response.metadata.response_code = ResponseCode::NXDomain;
        }
        for host in known {
            let data = match (host.address, query.query_type()) {
                (IpAddr::V4(address), RecordType::A) => RData::A(A(address)),
                (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(AAAA(address)),
                _ => continue,
            };
            let name = query.name().clone();
            response.add_answer(Record::from_rdata(name, host.ttl, data));
        }
        response
    }
}

#[derive(Clone, Copy, Debug)]
enum Transport {
    Udp,
    Tcp,
}

async fn serve(udp: Arc<UdpSocket>, tcp: TcpListener, state: Arc<State>) {
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; 65_535];
    loop {
        tokio::select! {
            // A failed receive is an ICMP error about an earlier answer.
            Ok((len, from)) = udp.recv_from(&mut buffer) => {
                if let Some((delay, bytes)) = state.answer(&buffer[..len], Transport::Udp) {
                    let udp = Arc::clone(&udp);
                    tasks.spawn(async move {
                        tokio::time::sleep(delay).await;
                        udp.send_to(&bytes, from).await.map(drop)
                    });
                }
            }
            Ok((stream, _)) = tcp.accept() => {
                tasks.spawn(converse(stream, Arc::clone(&state)));
            }
            Some(ended) = tasks.join_next() => {
                // Errors are the client's leaving, which is not this server's business.
                let _ = ended.expect("no answer panics");
            }
            else => (),
        }
    }
}

/// Questions and answers over TCP: each has its length before it (RFC 1035 section 4.2.2).
async fn converse(mut stream: TcpStream, state: Arc<State>) -> io::Result<()> {
    loop {
        let mut asked = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut asked).await?;
        if let Some((delay, bytes)) = state.answer(&asked, Transport::Tcp) {
            tokio::time::sleep(delay).await;
            let len = u16::try_from(bytes.len()).expect("an answer is short");
            stream.write_u16(len).await?;
            stream.write_all(&bytes).await?;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
