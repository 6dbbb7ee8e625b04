//! Measures dialled streams between two processes on loopback, both ends on this machine.
//!
//! ```text
//! cargo run -p snap-tribe --example streams -- dials [COUNT]   streams dialled and closed in a second
//! cargo run -p snap-tribe --example streams -- idle [COUNT]    memory of streams that are open and idle
//! cargo run -p snap-tribe --example streams -- bulk [MIB]      bytes through one stream
//! ```
//!
//! The serving process is this program again. Both raise their limit of open descriptors, and say so if they
//! cannot.

#![expect(clippy::print_stdout, reason = "what was measured is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::{
    env,
    error::Error,
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tribe::{
    Config, Incoming, Key, Keyring, Node, NodeName, ServeOptions, Service, ServiceStream, Target,
};

type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Dials that are under way at a time.
const AT_A_TIME: usize = 64;
/// Descriptors beside those of the streams: sockets of the node, the runtime, standard ones.
const BESIDE: u64 = 200;
const SERVICE: &str = "bench";
const BLOCK_BYTES: usize = 64 * 1024;

#[tokio::main]
async fn main() -> Done {
    let mut args = env::args().skip(1);
    let what = args.next().unwrap_or_default();
    let count = args.next().map(|count| count.parse::<usize>()).transpose()?;
    match what.as_str() {
        "dials" => dials(count.unwrap_or(20_000)).await,
        "idle" => idle(count.unwrap_or(10_000)).await,
        "bulk" => bulk(count.unwrap_or(1024)).await,
        "serve" => serve(count.unwrap_or(0)).await,
        _ => Err("say what to measure: dials, idle or bulk, and how many".into()),
    }
}

/// Dials one stream after the other, some at a time, and closes each.
async fn dials(count: usize) -> Done {
    let server = Server::start(2 * AT_A_TIME)?;
    let node = server.meet().await?;
    drop(dial(&node).await?);
    let (start, room) = (Instant::now(), Arc::new(Semaphore::new(AT_A_TIME)));
    let mut dials = JoinSet::new();
    for _ in 0..count {
        let permit = Arc::clone(&room).acquire_owned().await?;
        let node = node.clone();
        dials.spawn(async move {
            let mut stream = dial(&node).await?;
            stream.shutdown().await?;
            stream.read_to_end(&mut Vec::new()).await?;
            drop(permit);
            Done::Ok(())
        });
        while let Some(ended) = dials.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = dials.join_next().await {
        ended??;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{count} streams dialled and ended in {seconds:.1} s: {:.0}/s",
        count as f64 / seconds
    );
    Ok(())
}

/// Opens many streams and lets them be.
async fn idle(count: usize) -> Done {
    raise_descriptors(count as u64 + BESIDE)?;
    let mut server = Server::start(count)?;
    let node = server.meet().await?;
    // The first ones make buffers that are used again.
    for _ in 0..AT_A_TIME {
        drop(dial(&node).await?);
    }
    let (before, served_before) = (resident()?, server.ask("resident")?);
    let (start, room) = (Instant::now(), Arc::new(Semaphore::new(AT_A_TIME)));
    let mut dials = JoinSet::new();
    for _ in 0..count {
        let (node, room) = (node.clone(), Arc::clone(&room));
        dials.spawn(async move {
            let _permit = room.acquire_owned().await?;
            let mut stream = dial(&node).await?;
            // A stream that has been used, and rests.
            stream.write_all(&[7; 512]).await?;
            stream.read_exact(&mut [0; 512]).await?;
            Done::Ok(stream)
        });
    }
    let mut streams = Vec::with_capacity(count);
    while let Some(dialled) = dials.join_next().await {
        streams.push(dialled??);
    }
    let opened = start.elapsed().as_secs_f64();
    // Signs of life go both ways, and every stream is still there.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let mut alive = 0;
    for stream in &mut streams {
        stream.write_all(b"!").await?;
        alive += stream.read(&mut [0; 1]).await?;
    }
    let (after, served_after) = (resident()?, server.ask("resident")?);
    let added = |before: u64, after: u64| after.saturating_sub(before) as f64 / 1024.0;
    println!(
        "{alive} of {count} streams open and idle, opened in {opened:.1} s; added memory: {:.1} MiB serving, \
         {:.1} MiB dialling",
        added(served_before, served_after),
        added(before, after)
    );
    if alive == count { Ok(()) } else { Err("streams were lost".into()) }
}

/// Sends much through one stream, which the server counts.
async fn bulk(mib: usize) -> Done {
    let mut server = Server::start(2)?;
    let node = server.meet().await?;
    let mut stream = dial(&node).await?;
    let (start, block) = (Instant::now(), vec![7; BLOCK_BYTES]);
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let sent = async {
        for _ in 0..mib * 1024 * 1024 / BLOCK_BYTES {
            writer.write_all(&block).await?;
        }
        writer.shutdown().await
    };
    let heard = async {
        let (mut buffer, mut heard) = (vec![0; BLOCK_BYTES], 0);
        loop {
            match reader.read(&mut buffer).await? {
                0 => return io::Result::Ok(heard),
                more => heard += more,
            }
        }
    };
    let ((), heard) = tokio::try_join!(sent, heard)?;
    let seconds = start.elapsed().as_secs_f64();
    let each = heard as f64 / 1024.0 / 1024.0 / seconds;
    let served = server.ask("resident")?;
    println!(
        "{mib} MiB there and back in {seconds:.1} s: {each:.0} MiB/s each way; {:.1} MiB resident here, {:.1} MiB \
         there",
        resident()? as f64 / 1024.0,
        served as f64 / 1024.0
    );
    Ok(())
}

/// The other process: sends back what it is sent, and answers on its standard output.
async fn serve(streams: usize) -> Done {
    raise_descriptors(streams as u64 + BESIDE)?;
    let node = start("server", None).await?;
    let options = ServeOptions { most: 20_000, ..ServeOptions::default() };
    let service = node.serve(SERVICE, options).await?;
    tokio::spawn(echo(service));
    println!("{}", node.address());
    let (asked, mut questions) = mpsc::unbounded_channel();
    // Ends with the one who asks.
    std::thread::spawn(move || io::stdin().lines().for_each(|line| drop(asked.send(line))));
    while questions.recv().await.is_some() {
        println!("{}", resident()?);
    }
    Ok(())
}

async fn echo(mut service: Service) {
    while let Some(Incoming { stream, .. }) = service.accept().await {
        tokio::spawn(send_back(stream));
    }
}

async fn send_back(mut stream: ServiceStream) -> io::Result<()> {
    loop {
        // No buffer waits with an idle stream.
        let mut first = [0; 1];
        if stream.read(&mut first).await? == 0 {
            return stream.shutdown().await;
        }
        let mut block = vec![0; BLOCK_BYTES];
        stream.write_all(&first).await?;
        let more = tokio::select! {
            biased;
            more = stream.read(&mut block) => more?,
            () = std::future::ready(()) => continue,
        };
        stream.write_all(block.get(..more).unwrap_or_default()).await?;
        if more == 0 {
            return stream.shutdown().await;
        }
    }
}

async fn start(name: &str, seed: Option<String>) -> Done<Node> {
    let mut config = Config::new(name, Keyring::new(Key::from_bytes([7; 32])))?;
    config.bind = ([127, 0, 0, 1], 0).into();
    config.seeds = seed.into_iter().collect();
    config.collect_facts = false;
    Ok(Node::start(config).await?)
}

async fn dial(node: &Node) -> Done<ServiceStream> {
    Ok(node.dial(Target::Node(NodeName::parse("server")?), SERVICE).await?)
}

/// The serving process.
struct Server {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    fn start(streams: usize) -> Done<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args(["serve", &streams.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let asks = process.stdin.take().ok_or("no pipe to the server")?;
        let answers = process.stdout.take().ok_or("no pipe from the server")?;
        let (mut answers, mut address) = (BufReader::new(answers), String::new());
        if answers.read_line(&mut address)? == 0 {
            return Err("the serving process did not start; it says above why".into());
        }
        Ok(Self { process, asks, answers, address: address.trim().to_owned() })
    }

    /// A node that knows it.
    async fn meet(&self) -> Done<Node> {
        let node = start("client", Some(self.address.clone())).await?;
        let mut events = node.events();
        while !(node.view().synced && node.view().member("server").is_some()) {
            events.next().await.ok_or("the node has stopped")?;
        }
        Ok(node)
    }

    fn ask(&mut self, what: &str) -> Done<u64> {
        writeln!(self.asks, "{what}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes room for so many open descriptors.
fn raise_descriptors(wanted: u64) -> Done {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = now.maximum.map(|maximum| maximum.max(wanted));
    // Only root may go beyond the hard limit; everyone up to it.
    let most = Rlimit { current: Some(wanted), maximum };
    setrlimit(Resource::Nofile, most).map_err(|error| {
        let hard = now.maximum.unwrap_or(u64::MAX);
        format!("{wanted} open descriptors are needed, and at most {hard} allowed ({error}): raise `ulimit -Hn`").into()
    })
}

/// Resident memory of this process, in KiB.
fn resident() -> Done<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
    Ok(number.parse()?)
}
