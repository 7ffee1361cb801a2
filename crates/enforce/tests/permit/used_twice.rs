fn twice(queue: &mut doorward_enforce::UpstreamQueue, permit: doorward_enforce::Permit) {
    let _first = queue.push(permit, b"SELECT 1");
    let _second = queue.push(permit, b"SELECT 1");
}

fn main() {}
