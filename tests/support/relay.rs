//! Stands between a client and its NFS server, and does to one call what networks and servers do at bad times.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bindery::model::directory::{NfsVersion, Share};

use super::kind::Server;
use super::nfs::{PORT, PORTS_OF_V3, free_address, share};

const BADSESSION: u32 = 10052;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does not reach the server before [`Relay::release`], whatever becomes of the client.
    Late,
    /// It reaches the server after [`Relay::go_on`], and the answer comes back.
    Held,
    /// It reaches the server after [`Relay::go_on`], and the connection breaks before the answer.
    HeldAnswerLost,
    /// The connection breaks before it reaches the server.
    CallLost,
    /// It reaches the server, and the connection breaks before the answer.
    AnswerLost,
    /// The answer is this status, for the call as a whole; it does not reach the server.
    Answered(u32),
}

struct Plan {
    pattern: Vec<u8>,
    /// So many calls with the pattern pass before.
    skip: usize,
    times: usize,
    fate: Fate,
}

#[derive(Default)]
struct State {
    plan: Option<Plan>,
    /// Calls that are kept back, with the connections to client and server: both stay open.
    late: Vec<([TcpStream; 2], Vec<u8>)>,
    met: usize,
    /// Connections so far, and how many of them the server has forgotten: each that came before.
    connections: usize,
    forgotten: usize,
    /// Connections that stand.
    open: usize,
    /// Calls that are held wait no longer.
    gone_on: bool,
}

type Shared = Arc<Mutex<State>>;

/// See the module. Lives until the process ends.
pub struct Relay {
    address: IpAddr,
    version: NfsVersion,
    state: Shared,
}

impl Relay {
    pub fn to(server: &(impl Server + ?Sized)) -> Self {
        let address = free_address();
        let state = Shared::default();
        let version = server.share("/export").version();
        let ports = match version {
            NfsVersion::V4 => &PORTS_OF_V3[2..],
            NfsVersion::V3 => &PORTS_OF_V3[..],
        };
        for &port in ports {
            let listener = TcpListener::bind((address, port));
            let listener =
                listener.expect("an address for the relay (does something listen on port 111 of every address?)");
            let (state, server) = (state.clone(), server.address());
            thread::spawn(move || serve(&listener, server, port, &state));
        }
        Self {
            address,
            version,
            state,
        }
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub fn share(&self, path: &str) -> Share {
        share(self.address, path).over(self.version)
    }

    /// Lets the calls go to the server that are held, now and from now on.
    pub fn go_on(&self) {
        self.state.lock().unwrap().gone_on = true;
    }

    /// The next `times` calls that hold the bytes of `pattern` meet `fate`, after `skip` that pass.
    pub fn plan(&self, pattern: &str, skip: usize, times: usize, fate: Fate) {
        self.state.lock().unwrap().plan = Some(Plan {
            pattern: pattern.into(),
            skip,
            times,
            fate,
        });
    }

    /// How many calls have met their fate.
    pub fn met(&self) -> usize {
        self.state.lock().unwrap().met
    }

    /// Every connection that stands by now answers BADSESSION from now on, as after a restart of the server.
    pub fn forget_sessions(&self) {
        let mut state = self.state.lock().unwrap();
        state.forgotten = state.connections;
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// How many of them stand.
    pub fn open(&self) -> usize {
        self.state.lock().unwrap().open
    }

    /// Hands the calls that were kept back to the server; the answers are what it says to each.
    pub fn release(&self) -> Vec<Vec<u8>> {
        let late = std::mem::take(&mut self.state.lock().unwrap().late);
        late.into_iter()
            .map(|([_client, mut server], call)| {
                server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                server.write_all(&call).unwrap();
                let mut answer = vec![0; 4096];
                let length = server.read(&mut answer).expect("the server answers");
                answer.truncate(length);
                answer
            })
            .collect()
    }
}

fn serve(listener: &TcpListener, server: IpAddr, port: u16, state: &Shared) {
    for client in listener.incoming().flatten() {
        let Ok(upstream) = TcpStream::connect((server, port)) else {
            continue;
        };
        let state = state.clone();
        // The portmapper and mountd are only ways to the server.
        let counts = usize::from(port == PORT);
        let number = {
            let mut state = state.lock().unwrap();
            state.connections += counts;
            state.open += counts;
            if port == PORT { state.connections } else { usize::MAX }
        };
        thread::spawn(move || {
            pass(&client, &upstream, &state, number);
            state.lock().unwrap().open -= counts;
        });
    }
}

/// Hands calls on in one direction and answers back in the other, one call at a time as the client sends them.
fn pass(mut client: &TcpStream, mut server: &TcpStream, state: &Shared, number: usize) {
    while let Some(call) = record(client) {
        let fate = fate(&call, state, number);
        if let Some(fate) = fate
            && !matches!(fate, Fate::Late | Fate::AnswerLost)
        {
            state.lock().unwrap().met += 1;
        }
        if let Some(Fate::Held | Fate::HeldAnswerLost) = fate {
            while !state.lock().unwrap().gone_on {
                thread::sleep(Duration::from_millis(2));
            }
        }
        match fate {
            None | Some(Fate::Held) => {
                if server.write_all(&call).is_err() {
                    break;
                }
                let Some(answer) = record(server) else { break };
                if client.write_all(&answer).is_err() {
                    break;
                }
            }
            Some(Fate::Late) => {
                let connections = [client, server].map(|stream| stream.try_clone().unwrap());
                let mut state = state.lock().unwrap();
                state.late.push((connections, call));
                state.met += 1;
                return;
            }
            Some(Fate::CallLost) => break,
            Some(Fate::AnswerLost | Fate::HeldAnswerLost) => {
                let _ = server.write_all(&call);
                let _ = record(server);
                // Whoever waits for it may rely on what the server has done.
                state.lock().unwrap().met += usize::from(fate == Some(Fate::AnswerLost));
                break;
            }
            Some(Fate::Answered(status)) => {
                // In version 3, what follows the status are attributes that are not told; a LOOKUP has them once.
                let lookup = call[20..28] == [0, 0, 0, 3, 0, 0, 0, 3];
                let words = [1, 0, 0, 0, 0, status, 0, 0];
                let words = &words[..words.len() - usize::from(lookup)];
                let length = u8::try_from(4 + 4 * words.len()).unwrap();
                let mut answer = vec![0x80, 0, 0, length];
                answer.extend(&call[4..8]);
                for word in words {
                    answer.extend(word.to_be_bytes());
                }
                let _ = client.write_all(&answer);
            }
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn fate(call: &[u8], state: &Shared, number: usize) -> Option<Fate> {
    let mut state = state.lock().unwrap();
    if number <= state.forgotten {
        return Some(Fate::Answered(BADSESSION));
    }
    let plan = state.plan.as_mut()?;
    if !call.windows(plan.pattern.len()).any(|bytes| bytes == plan.pattern) {
        return None;
    }
    if plan.skip > 0 {
        plan.skip -= 1;
        return None;
    }
    plan.times = plan.times.checked_sub(1)?;
    Some(plan.fate)
}

/// One RPC record of one fragment, header and all.
fn record(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let length = u32::from_be_bytes(header) & 0x7fff_ffff;
    let mut record = header.to_vec();
    record.resize(4 + length as usize, 0);
    stream.read_exact(&mut record[4..]).ok()?;
    Some(record)
}
