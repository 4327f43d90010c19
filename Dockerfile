# syntax=docker/dockerfile:1

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X homeserver/internal/server/buildinfo.version=${VERSION}" -o /out/homeserver ./cmd/homeserver
RUN mkdir /out/data

# The server for tests of clients and bots, with PostgreSQL: docker build --target dev. Nothing of it outlives the
# container. The endpoints by which tests control it answer everybody who reaches the container.
FROM postgres:17 AS dev
COPY --from=build /out/homeserver /usr/local/bin/homeserver
USER postgres
WORKDIR /var/lib/postgresql
EXPOSE 8008 8448
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s CMD ["/usr/local/bin/homeserver", "health"]
ENTRYPOINT ["/usr/local/bin/homeserver", "dev", "--listen", ":8008", "--listen", "tls://:8448", "--control-from-network"]
CMD []

# Nothing but the server and the authorities that it trusts when it connects to others. There is no PostgreSQL
# in the image: HOMESERVER_DATABASE_URL must name one.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/homeserver /usr/local/bin/homeserver
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV HOMESERVER_DATA_DIR=/data
ENV HOMESERVER_LISTEN=:8008,tls://:8448
EXPOSE 8008 8448
VOLUME /data
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s CMD ["/usr/local/bin/homeserver", "health"]
ENTRYPOINT ["/usr/local/bin/homeserver"]
