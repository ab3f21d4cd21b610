"""REST and GraphQL over loopback: a server of ours answers as APIs do, and as they do on bad days."""
