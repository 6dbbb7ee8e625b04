//! Serves an echo to the members of a cluster, and dials those of others.
//!
//! ```text
//! cargo run -p snap-tribe --example echo -- r1 --key-file tribe.key --bind 127.0.0.1:6000 \
//!     --serve echo/rust --tribe echoes
//! ```
//!
//! `--tribe` joins a tribe, and creates it if there is none. Commands on standard input, one a line:
//!
//! ```text
//! dial tribe echoes echo/c 64     sends 64 MiB to any member of a tribe that offers the service,
//! dial node c1 echo/c 64          or to a node, and compares what comes back
//! quit                            so does the end of the input
//! ```
//!
//! What comes of it is printed, one JSON object a line.

#![expect(clippy::print_stdout, reason = "it is a program")]

use std::{env, error::Error, io, path::Path};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};
use tribe::{
    CommandError, Config, DialError, Incoming, Node, NodeName, ServeOptions, Service,
    ServiceStream, Target, TribeName, read_key_file,
};

const BLOCK_BYTES: usize = 64 * 1024;
const MIB: usize = 1024 * 1024;

type Done<T = ()> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done {
    let mut args = env::args().skip(1);
    let name = args.next().ok_or("usage: echo NAME --key-file FILE [--bind IP:PORT] ...")?;
    let (mut key, mut bind, mut seeds) = (None, "0.0.0.0:6000".to_owned(), Vec::new());
    let (mut serve, mut tribe) = (None, None);
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--key-file" => key = Some(value),
            "--bind" => bind = value,
            "--seed" => seeds.push(value),
            "--serve" => serve = Some(value),
            "--tribe" => tribe = Some(value),
            _ => return Err(format!("there is no option {option}").into()),
        }
    }
    let keyring = read_key_file(Path::new(&key.ok_or("--key-file is needed")?))?;
    let mut config = Config::new(&name, keyring)?;
    (config.bind, config.seeds, config.collect_facts) = (bind.parse()?, seeds, false);
    let node = Node::start(config).await?;
    if let Some(tribe) = tribe {
        join(&node, &tribe).await?;
    }
    if let Some(service) = serve {
        tokio::spawn(answer(node.serve(&service, ServeOptions::default()).await?));
    }
    say("started", &name, json!({ "address": node.address().to_string() }));
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["dial", by, target, service, mib] => {
                dial(&node, by, target, service, mib.parse()?).await?;
            }
            ["quit"] => break,
            _ => say("failed", &line, json!({ "error": "there is no such command" })),
        }
    }
    node.leave().await?;
    Ok(())
}

fn say(kind: &str, subject: &str, body: Value) {
    println!("{}", json!({ "kind": kind, "subject": subject, "body": body }));
}

async fn join(node: &Node, tribe: &str) -> Result<(), CommandError> {
    match node.create_tribe(tribe, "").await {
        Ok(_) | Err(CommandError::TribeExists(_)) => {}
        Err(error) => return Err(error),
    }
    node.join_tribe(tribe, None).await.map(drop)
}

async fn answer(mut service: Service) {
    while let Some(Incoming { stream, caller }) = service.accept().await {
        tokio::spawn(async move {
            if let Err(error) = echo(stream).await {
                say("failed", caller.name.as_str(), json!({ "error": error.to_string() }));
            }
        });
    }
}

/// Sends back what comes, while it comes.
async fn echo(mut stream: ServiceStream) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let length = stream.read(&mut block).await?;
        if length == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(block.get(..length).unwrap_or_default()).await?;
    }
}

async fn dial(node: &Node, by: &str, target: &str, service: &str, mib: usize) -> Done {
    let target = match by {
        "tribe" => Target::Tribe(TribeName::parse(target)?),
        _ => Target::Node(NodeName::parse(target)?),
    };
    let stream = match node.dial(target, service).await {
        Ok(stream) => stream,
        Err(error) => {
            refused(service, &error);
            return Ok(());
        }
    };
    let (peer, blocks) = (stream.peer().name.to_string(), mib * MIB / BLOCK_BYTES);
    let (reader, writer) = tokio::io::split(stream);
    let done = tokio::try_join!(send(writer, blocks), receive(reader));
    let body = match done {
        Ok((sent, (heard, bytes))) => {
            let same = sent == heard && bytes == blocks * BLOCK_BYTES;
            json!({ "peer": peer, "bytes": bytes, "same": same, "error": null })
        }
        Err(error) => json!({ "peer": peer, "same": false, "error": error.to_string() }),
    };
    say("dialled", service, body);
    Ok(())
}

fn refused(service: &str, error: &DialError) {
    say("failed", service, json!({ "error": error.to_string() }));
}

/// Sends blocks, no two of them alike; their hash.
async fn send(mut writer: impl AsyncWrite + Unpin, blocks: usize) -> io::Result<Vec<u8>> {
    let (mut block, mut hash, mut state) = (vec![0; BLOCK_BYTES], Sha256::new(), 1_u64);
    for byte in &mut block {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = state.to_be_bytes()[1];
    }
    for number in 0..blocks {
        if let Some(start) = block.first_chunk_mut() {
            *start = number.to_le_bytes();
        }
        hash.update(&block);
        writer.write_all(&block).await?;
    }
    writer.shutdown().await?;
    Ok(hash.finalize().to_vec())
}

/// What comes: its hash and how much it was.
async fn receive(mut reader: impl AsyncRead + Unpin) -> io::Result<(Vec<u8>, usize)> {
    let (mut block, mut hash, mut bytes) = (vec![0; BLOCK_BYTES], Sha256::new(), 0);
    loop {
        match reader.read(&mut block).await? {
            0 => return Ok((hash.finalize().to_vec(), bytes)),
            length => {
                hash.update(block.get(..length).unwrap_or_default());
                bytes += length;
            }
        }
    }
}

/// Lines of the standard input, read by a thread that may be left waiting.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (lines, received) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    received
}
