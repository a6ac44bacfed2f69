# `make check` runs every check; it installs what it needs and skips nothing.
# `make check-long` adds the long forms (200 kills, an hour of partition, old
# brokers beside new ones, a minute of fuzzing each).

GO         ?= go
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME   ?= 2s
export CGO_ENABLED ?= 0

.PHONY: build check check-long tools format vet test fuzz bench

build:
	$(GO) build -trimpath -o bin/comity ./cmd/comity

check: tools format vet test fuzz

check-long: check
	COMITY_LONG=1 CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 40m ./federation ./testnet/... ./cmd/...
	./.ci/mixed
	$(MAKE) fuzz FUZZTIME=60s

tools:
	./.ci/tools

format:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "not formatted (run gofmt -w):"; echo "$$out"; exit 1; }

vet:
	$(GO) vet ./...
	$(STATICCHECK) ./...

test:
	CGO_ENABLED=1 $(GO) test -race -timeout 8m ./...

# Every fuzz target of every package, one after the other.
fuzz:
	./.ci/fuzz $(FUZZTIME)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
