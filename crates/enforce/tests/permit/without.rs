fn without(queue: &mut doorward_enforce::UpstreamQueue) {
    let _ = queue.push(b"SELECT 1");
}

fn main() {}
