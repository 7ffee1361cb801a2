fn main() {
    let _forged = doorward_enforce::Permit {
        request: doorward_model::RequestId(1),
        digest: [0; 32],
        ticket: doorward_enforce::Ticket(0),
    };
}
