"""Topics as a connector of Kafka Connect has put them somewhere else, read from there as from the topic itself."""
