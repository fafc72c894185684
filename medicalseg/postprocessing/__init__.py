"""What is done to labels on the original grid after the network: small parts, holes, order along the spine."""
