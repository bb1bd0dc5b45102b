//! A network namespace with a portmapper, for an `NFSv3` server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};

use uuid::Uuid;

/// The port of the portmapper.
const PORT: u16 = 111;
/// Exit status of `nfs3-network` if the name is in use.
const TAKEN: i32 = 3;

/// A network namespace of `tests/bed/nfs3-network`. Dropping this removes it, and so does the end of the thread that created
/// it.
pub struct Network {
    address: IpAddr,
    child: Child,
}

impl Network {
    pub fn new() -> Self {
        for _ in 0..100 {
            if let Some(network) = Self::try_new() {
                return network;
            }
        }
        panic!("no free network below 10.200.0.0/16");
    }

    /// Returns `None` if the chosen network is in use.
    fn try_new() -> Option<Self> {
        // One of the networks of four addresses below 10.200.0.0/16. The name of its interface is its lock.
        let [high, low, ..] = *Uuid::new_v4().as_bytes();
        let address = |last| IpAddr::from(Ipv4Addr::new(10, 200, high, (low & !3) | last));
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bed/nfs3-network"))
            .args([address(2).to_string(), address(1).to_string()])
            .arg(format!("bindery-{high:02x}{:02x}", low & !3))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/bed/nfs3-network starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        if line == "ready\n" {
            return Some(Self {
                address: address(2),
                child,
            });
        }
        let status = child.wait().expect("its end");
        assert_eq!(status.code(), Some(TAKEN), "tests/bed/nfs3-network failed");
        None
    }

    /// Returns the address for the server.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the arguments of `nsenter` for this namespace.
    pub fn enter(&self) -> [String; 2] {
        let pid = self.child.id();
        [
            format!("--net=/proc/{pid}/ns/net"),
            format!("--mount=/proc/{pid}/ns/mnt"),
        ]
    }

    /// Returns whether the portmapper knows version 3 of a program.
    pub fn knows(&self, program: u32) -> bool {
        // GETPORT of the portmapper's version 2, with no credentials, for TCP.
        let call = [1, 0, 2, 100_000, 2, 3, 0, 0, 0, 0, program, 3, 6, 0];
        let mut record = vec![0x80, 0, 0, 56];
        record.extend(call.iter().flat_map(|word: &u32| word.to_be_bytes()));
        let mut answer = [0; 32];
        let mut stream = TcpStream::connect((self.address, PORT)).expect("the portmapper");
        stream.write_all(&record).expect("the portmapper listens");
        stream.read_exact(&mut answer).expect("the portmapper answers");
        answer[28..] != [0; 4]
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.child.kill().expect("the network can be ended");
        self.child.wait().expect("the network ends");
    }
}
