"""The operators' protocol: what a client and the supervisor say over the control socket, and both ends of it.

Promises: nobody reads anything but counts before proving an operator's key; taking away needs that proof,
giving needs a signed order besides; a client that sends rubbish loses its own connection and nothing else;
a slow client is told to look again, and never makes the supervisor wait. Private keys are only ever on the
client's side (`operator_key`, `agent_socket`).

Knows `wire`, `core`, `errors`, `clock`, and for an order's bytes `authority`. The supervisor implements
`service.Service` and `service.Gate`; nothing here imports the supervisor.
"""
