//! Stands between a client and its NFS server, and does to one call what networks and servers do at bad times.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bindery::policy::directory::Share;

use super::nfs::{PORT, free_address, share};

const BADSESSION: u32 = 10052;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It does not reach the server before [`Relay::release`], whatever becomes of the client.
    Late,
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
}

type Shared = Arc<Mutex<State>>;

/// See the module. Lives until the process ends.
pub struct Relay {
    address: IpAddr,
    state: Shared,
}

impl Relay {
    pub fn to(server: IpAddr) -> Self {
        let address = free_address();
        let listener = TcpListener::bind((address, PORT)).expect("an address for the relay");
        let state = Shared::default();
        let relay = Self {
            address,
            state: state.clone(),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect((server, PORT)) else {
                    continue;
                };
                let state = state.clone();
                let number = {
                    let mut state = state.lock().unwrap();
                    state.connections += 1;
                    state.open += 1;
                    state.connections
                };
                thread::spawn(move || {
                    pass(&client, &upstream, &state, number);
                    state.lock().unwrap().open -= 1;
                });
            }
        });
        relay
    }

    pub fn share(&self, path: &str) -> Share {
        share(self.address, path)
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

/// Hands calls on in one direction and answers back in the other, one call at a time as the client sends them.
fn pass(mut client: &TcpStream, mut server: &TcpStream, state: &Shared, number: usize) {
    while let Some(call) = record(client) {
        match fate(&call, state, number) {
            None => {
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
            Some(Fate::AnswerLost) => {
                let _ = server.write_all(&call);
                let _ = record(server);
                state.lock().unwrap().met += 1;
                break;
            }
            Some(Fate::Answered(status)) => {
                let mut answer = vec![0x80, 0, 0, 36];
                answer.extend(&call[4..8]);
                for word in [1, 0, 0, 0, 0, status, 0, 0] {
                    answer.extend(word.to_be_bytes());
                }
                state.lock().unwrap().met += 1;
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
