"""`lianfang broker`: the private broker of demo and tests. It never touches a RabbitMQ that is already on the machine."""
