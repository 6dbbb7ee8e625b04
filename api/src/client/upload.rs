//! A file that is sent while it is read, so that its size does not matter.

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::{
    fs::File,
    io::{AsyncRead, ReadBuf},
};

/// How much is read at a time, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// A file on its way to snapd.
#[derive(Debug)]
pub struct Upload {
    file: File,
    /// How much is to come; unknown of a pipe.
    left: Option<u64>,
}

impl Upload {
    /// Opens a file, or a pipe.
    ///
    /// # Errors
    /// It cannot be opened, or is a directory.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path).await?;
        let metadata = file.metadata().await?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let left = metadata.is_file().then_some(metadata.len());
        Ok(Self { file, left })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let most = self.left.map_or(CHUNK_BYTES, |left| {
            usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES))
        });
        if most == 0 {
            return Poll::Ready(None);
        }
        let mut chunk = vec![0; most];
        let mut buffer = ReadBuf::new(&mut chunk);
        if let Err(error) = ready!(Pin::new(&mut self.file).poll_read(context, &mut buffer)) {
            return Poll::Ready(Some(Err(error)));
        }
        let count = buffer.filled().len();
        chunk.truncate(count);
        match &mut self.left {
            Some(left) if count > 0 => *left = left.saturating_sub(count as u64),
            Some(_) => {
                let shorter = "the file became shorter while it was sent";
                return Poll::Ready(Some(Err(io::Error::other(shorter))));
            }
            None if count == 0 => return Poll::Ready(None),
            None => {}
        }
        Poll::Ready(Some(Ok(Frame::data(chunk.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
