//! A registry on loopback that does whatever a test wants.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A running server. It ends with the test's process.
pub(super) struct Server {
    pub(super) host: String,
    log: Arc<Mutex<Vec<Asked>>>,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    head: String,
}

impl Asked {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let value = |line: &str| {
            line.split_once(':').filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|l| l.1.trim().to_owned())
        };
        self.head.lines().find_map(value)
    }

    /// The first byte that a Range header asks for.
    pub(super) fn offset(&self) -> usize {
        self.header("range").map_or(0, |range| range["bytes=".len()..].trim_end_matches('-').parse().unwrap())
    }
}

impl Server {
    /// Calls `answer` for each request, with its number; the connection is closed behind it.
    pub(super) fn new(answer: impl Fn(usize, &Asked, &mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let (log, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let server = Server { host, log: log.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (log.clone(), answer.clone());
                thread::spawn(move || serve(stream, &log, &*answer));
            }
        });
        server
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.log.lock().unwrap().clone()
    }

    /// The values of a header in all requests for paths with `part`.
    pub(super) fn headers(&self, part: &str, name: &str) -> Vec<Option<String>> {
        self.asked().iter().filter(|asked| asked.path.contains(part)).map(|asked| asked.header(name)).collect()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, answer: &dyn Fn(usize, &Asked, &mut TcpStream)) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        // The first byte of TLS is 22: this server has none.
        if stream.read(&mut byte).unwrap_or(0) == 0 || (head.is_empty() && byte[0] == 22) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ').map(str::to_owned);
    let asked = Asked { method: words.next().unwrap(), path: words.next().unwrap(), head: head.clone() };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len()
    };
    answer(number, &asked, &mut stream);
}

/// Sends a response with a length.
pub(super) fn respond(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// Sends a response in one chunk, without a length.
pub(super) fn chunked(stream: &mut TcpStream, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{headers}\r\n{:x}\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let _ = stream.write_all(b"\r\n0\r\n\r\n");
}

/// Keeps the connection, and sends nothing until the other side goes.
pub(super) fn stall(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0]);
}
