fn twice(permit: doorward_enforce::Permit) -> (doorward_enforce::Permit, doorward_enforce::Permit) {
    (permit.clone(), permit)
}

fn main() {}
