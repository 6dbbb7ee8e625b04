//! Messages as they always were, and peers who hold the key and send what is none.

use super::*;
use crate::wire::samples::{Samples, Variants, variants};

variants! {
    Said<'_> { Data End Alive }
}

fn samples() -> Samples {
    let mut samples = Samples::default();
    let all = [Said::Data(b"\x00hello\xff"), Said::Data(b""), Said::End, Said::Alive];
    samples.all("Said", all, |samples, name, said| {
        samples.add(name, said.write(), move |bytes| assert_eq!(Said::read(bytes), Some(said)));
    });
    samples
}

#[test]
fn messages_are_read_and_written_as_they_always_were() {
    samples().check("services");
}

mod hostile {
    use rand::RngExt as _;
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;
    use crate::{
        Caller, ClusterName, Key, Keyring, NodeId, NodeName, ServiceStream,
        wire::fuzz::{chance, hostile, read_within, runs},
    };

    /// What the user has of these messages: bytes, and whether they came to an end.
    fn expected(messages: &[Vec<u8>]) -> (Vec<u8>, bool) {
        let (mut bytes, mut ended) = (Vec::new(), false);
        for message in messages {
            match read_within(message, Said::read) {
                Some(Said::Data(data)) if !ended => bytes.extend(data),
                Some(Said::End) if !ended => ended = true,
                Some(Said::Alive) => {}
                _ => break,
            }
        }
        (bytes, ended)
    }

    /// Both ends of a stream, after their greeting.
    fn pair() -> (NoiseStream, NoiseStream) {
        let ring = Keyring::new(Key::from_bytes([7; 32]));
        let cluster = ClusterName::parse("test").unwrap();
        let mut peer = NoiseStream::initiator(&ring, &cluster, [1; 32]).unwrap();
        let mut ours = NoiseStream::responder(&ring, &cluster, [2; 32]);
        ours.receive(&peer.take_output()).unwrap();
        peer.receive(&ours.take_output()).unwrap();
        (peer, ours)
    }

    /// What the user has of a peer that sends these messages and hangs up.
    async fn received(listener: &TcpListener, messages: &[Vec<u8>]) -> (Vec<u8>, bool) {
        let (mut peer, ours) = pair();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (near, _) = listener.accept().await.unwrap();
        let name = NodeName::parse("n1").unwrap();
        let caller = Caller { id: NodeId(1), name, address: far.local_addr().unwrap() };
        let (mut user, io, ends) = ServiceStream::new(caller);
        let (_stop, stopped) = watch::channel(false);
        let tunnel = run(near, ours, io, ends, stopped, std::future::pending());
        let sends = async {
            for message in messages {
                peer.send(message).unwrap();
            }
            // It may have hung up at the first message that is none.
            let _ = far.write_all(&peer.take_output()).await;
            let _ = far.shutdown().await;
            let mut rest = Vec::new();
            let _ = far.read_to_end(&mut rest).await;
        };
        let reads = async {
            user.shutdown().await.unwrap();
            let (mut bytes, mut buffer) = (Vec::new(), [0; 1024]);
            loop {
                match user.read(&mut buffer).await {
                    Ok(0) => return (bytes, true),
                    Ok(read) => bytes.extend(&buffer[..read]),
                    Err(_) => return (bytes, false),
                }
            }
        };
        tokio::join!(tunnel, sends, reads).2
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_error_to_the_user_and_never_an_end() {
        let (mut rng, good) = (chance(), samples().bytes());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut ends, mut errors) = (0, 0);
        for _ in 0..runs(200_000).div_ceil(400) {
            let count = rng.random_range(0..5);
            let messages: Vec<_> = (0..count).map(|_| hostile(&mut rng, &good)).collect();
            let received = received(&listener, &messages).await;
            assert_eq!(received, expected(&messages), "{messages:02x?}");
            *(if received.1 { &mut ends } else { &mut errors }) += 1;
        }
        assert!(ends > 10 && errors > 10, "{ends} ends and {errors} errors");
    }
}
