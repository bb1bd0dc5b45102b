//! A relay between a client and its NFS server that delays, drops or answers selected calls, as broken networks and servers
//! do.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bindery::model::directory::{NfsVersion, Share};

use super::kind::Server;
use super::nfs::{PORT, PORTS_OF_V3, free_address, share};
use super::wait::scaled;

const BADSESSION: u32 = 10052;

/// What the relay does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keeps the call until [`Relay::send_late_calls`], even if the client disconnects before.
    SendLate,
    /// Sends the call to the server after [`Relay::stop_holding`], and the answer to the client.
    Hold,
    /// Sends the call to the server after [`Relay::stop_holding`], and closes the connection instead of answering.
    HoldAndDropAnswer,
    /// Closes the connection before the call reaches the server.
    DropCall,
    /// Sends the call to the server, and closes the connection instead of answering.
    DropAnswer,
    /// Answers the whole call with this status. The call does not reach the server.
    Answer(u32),
}

struct Plan {
    pattern: Vec<u8>,
    /// Number of matching calls to pass first.
    skip: usize,
    times: usize,
    action: Action,
}

#[derive(Default)]
struct State {
    plan: Option<Plan>,
    /// Calls that are kept, with the connections to client and server, which stay open.
    late: Vec<([TcpStream; 2], Vec<u8>)>,
    matched: usize,
    /// Number of connections so far.
    connections: usize,
    /// Number of the latest connection whose sessions are forgotten.
    forgotten: usize,
    /// Number of open connections.
    open: usize,
    /// Whether held calls may continue.
    may_continue: bool,
}

type Shared = Arc<Mutex<State>>;

/// A relay. It runs until the process ends.
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

    /// Lets all held calls continue, also later ones.
    pub fn stop_holding(&self) {
        self.state.lock().unwrap().may_continue = true;
    }

    /// Applies `action` to the next `times` calls that contain the bytes of `pattern`, after `skip` of them have passed.
    pub fn plan(&self, pattern: &str, skip: usize, times: usize, action: Action) {
        self.state.lock().unwrap().plan = Some(Plan {
            pattern: pattern.into(),
            skip,
            times,
            action,
        });
    }

    /// Returns to how many calls the action was applied.
    pub fn matched(&self) -> usize {
        self.state.lock().unwrap().matched
    }

    /// Answers BADSESSION on every existing connection from now on, as after a restart of the server.
    pub fn forget_sessions(&self) {
        let mut state = self.state.lock().unwrap();
        state.forgotten = state.connections;
    }

    /// Returns the number of connections so far.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.state.lock().unwrap().open
    }

    /// Sends the kept calls to the server, and returns its answers.
    pub fn send_late_calls(&self) -> Vec<Vec<u8>> {
        let late = std::mem::take(&mut self.state.lock().unwrap().late);
        late.into_iter()
            .map(|([_client, mut server], call)| {
                server.set_read_timeout(Some(scaled(Duration::from_secs(10)))).unwrap();
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
        // Connections to portmapper and mountd are not counted.
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

/// Forwards calls and answers, one call at a time.
fn pass(mut client: &TcpStream, mut server: &TcpStream, state: &Shared, number: usize) {
    while let Some(call) = record(client) {
        let action = action(&call, state, number);
        if let Some(action) = action
            && !matches!(action, Action::SendLate | Action::DropAnswer)
        {
            state.lock().unwrap().matched += 1;
        }
        if let Some(Action::Hold | Action::HoldAndDropAnswer) = action {
            while !state.lock().unwrap().may_continue {
                thread::sleep(Duration::from_millis(2));
            }
        }
        match action {
            None | Some(Action::Hold) => {
                if server.write_all(&call).is_err() {
                    break;
                }
                let Some(answer) = record(server) else { break };
                if client.write_all(&answer).is_err() {
                    break;
                }
            }
            Some(Action::SendLate) => {
                let connections = [client, server].map(|stream| stream.try_clone().unwrap());
                let mut state = state.lock().unwrap();
                state.late.push((connections, call));
                state.matched += 1;
                return;
            }
            Some(Action::DropCall) => break,
            Some(Action::DropAnswer | Action::HoldAndDropAnswer) => {
                let _ = server.write_all(&call);
                let _ = record(server);
                // Counted after the server has carried the call out, so that a waiting test can rely on that.
                state.lock().unwrap().matched += usize::from(action == Some(Action::DropAnswer));
                break;
            }
            Some(Action::Answer(status)) => {
                // In version 3, empty attributes follow the status: one in the answer to LOOKUP, otherwise two.
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

fn action(call: &[u8], state: &Shared, number: usize) -> Option<Action> {
    let mut state = state.lock().unwrap();
    if number <= state.forgotten {
        return Some(Action::Answer(BADSESSION));
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
    Some(plan.action)
}

/// Reads an RPC record of one fragment, with its header.
fn record(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let length = u32::from_be_bytes(header) & 0x7fff_ffff;
    let mut record = header.to_vec();
    record.resize(4 + length as usize, 0);
    stream.read_exact(&mut record[4..]).ok()?;
    Some(record)
}
