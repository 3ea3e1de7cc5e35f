#!/bin/bash
# openssl.sh - openssl: digests, ciphers, certificates, a TLS conversation.
. "$(dirname "$0")/harness.sh"

prepare()
{
	seq 1 50000 >data
	for type in rsa ec ed; do
		case $type in
		rsa)	set -- RSA -pkeyopt rsa_keygen_bits:2048 ;;
		ec)	set -- EC -pkeyopt ec_paramgen_curve:P-256 ;;
		ed)	set -- ED25519 ;;
		esac
		openssl genpkey -quiet -algorithm "$@" -out $type.key \
			2>/dev/null || openssl genpkey -algorithm "$@" \
			-out $type.key 2>/dev/null
	done
	openssl req -x509 -key rsa.key -subj /CN=localhost -days 3650 \
		-addext subjectAltName=DNS:localhost -out server.crt
	cat >ca.conf <<'END'
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = req_dn
[req_dn]
END
}

primitives()
{
	for digest in md5 sha1 sha256 sha3-512 blake2b512 shake256; do
		openssl dgst -$digest "$input/data"
	done
	openssl dgst -hmac secret -sha256 <"$input/data"
	for cipher in aes-256-cbc aes-128-ctr chacha20 des-ede3-cbc camellia-128-cbc; do
		openssl enc -$cipher -pbkdf2 -S 0011223344556677 -k word \
			-in "$input/data" -out data.$cipher
		openssl enc -d -$cipher -pbkdf2 -S 0011223344556677 -k word \
			-in data.$cipher | cmp - "$input/data"
	done
	status openssl enc -d -aes-256-cbc -pbkdf2 -k wrong \
		-in data.aes-128-ctr -out wrong 2>&1 | cut -d: -f2-6
	rm -f wrong
	openssl prime 1000003; openssl rand -hex 16 | wc -c
	openssl base64 -in "$input/data" | cksum; openssl ciphers -s | wc -c
	openssl list -digest-algorithms | cksum
	openssl asn1parse -in "$input/server.crt" | head -n 4
	status openssl dgst -sha256 nosuchfile 2>/dev/null
}

certificates()
{
	openssl pkeyutl -sign -inkey "$input/ed.key" -rawin \
		-in "$input/server.crt" | openssl base64
	openssl dgst -sha256 -sign "$input/rsa.key" -out sig "$input/data"
	openssl pkey -in "$input/rsa.key" -pubout -out rsa.pub
	status openssl dgst -sha256 -verify rsa.pub -signature sig "$input/data"
	status openssl dgst -sha256 -verify rsa.pub -signature sig "$input/ca.conf" \
		2>/dev/null
	openssl genrsa 2048 2>/dev/null | openssl rsa -check -noout
	openssl genpkey -algorithm X25519 | openssl pkey -noout; echo made
	openssl ecparam -name secp384r1 -genkey -noout | openssl ec -check -noout
	: >index.txt; echo 01 >serial
	openssl req -new -config "$input/ca.conf" -key "$input/rsa.key" \
		-subj /CN=leaf -out leaf.csr
	openssl ca -batch -config "$input/ca.conf" -cert "$input/server.crt" \
		-keyfile "$input/rsa.key" -startdate 20260101000000Z \
		-enddate 20360101000000Z -notext -in leaf.csr -out leaf.crt
	openssl x509 -in leaf.crt -noout -text | cksum
	status openssl verify -CAfile "$input/server.crt" \
		-attime 1800000000 leaf.crt
	status openssl verify leaf.crt
	openssl pkcs12 -export -inkey "$input/rsa.key" -in leaf.crt \
		-passout pass:x | openssl pkcs12 -passin pass:x -nodes -nokeys |
		openssl x509 -noout -subject
	openssl cms -encrypt -outform DER "$input/server.crt" <"$input/data" |
		openssl cms -decrypt -inform DER -inkey "$input/rsa.key" |
		tr -d '\r' | cmp - "$input/data"
}

# The server turns each line round, for two connections, and ends.
conversation()
{
	openssl s_server -accept "$addr:4433" -naccept 2 -rev \
		-key "$input/rsa.key" -cert "$input/server.crt" \
		>"$work/server.log" 2>&1 &
	server=$!
	wait_until grep -q ACCEPT "$work/server.log"
	loaded_in $server && echo "server as it should be"
	for version in tls1_2 tls1_3; do
		(seq 1 200; wait_until grep -qx 002 answer.$version) |
			openssl s_client -connect "$addr:4433" -quiet \
			-verify_return_error -CAfile "$input/server.crt" \
			-$version -no_ign_eof >answer.$version 2>client.log ||
			cat client.log
		grep -c . answer.$version; rm client.log
	done
	status wait $server
}

compare primitives openssl
compare certificates openssl
compare conversation openssl
finish
