"""What is done when the outside broke a promise: a lost position, a rewound source, a moved alias."""
