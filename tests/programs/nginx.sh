#!/bin/bash
# nginx.sh - nginx under ab: workers, reload while serving, graceful quit.
. "$(dirname "$0")/harness.sh"

# One request fills the cache: how many miss it at once depends on time.
# Workers give up root's rights: what they serve lies where anybody may look.
prepare()
{
	site=$(mktemp -d /tmp/bilge-nginx.XXXXXX)
	chmod 755 "$site"
	mkdir "$site/html" "$site/logs"
	echo 'a small page' >"$site/html/small.html"
	seq 1 200000 >"$site/html/big.txt"
	for i in 1 2 3; do
		echo "include $i <!--#echo var=\"request_uri\" -->" \
			>"$site/html/part$i.shtml"
	done
	echo "$site" >site
	cat >nginx.conf <<'END'
worker_processes 2;
daemon off;
pid nginx.pid;
events { worker_connections 200; }
http {
	types { text/html html shtml; text/plain txt; }
	log_format plain '$request $status $body_bytes_sent';
	access_log logs/access.log plain;
	client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
	uwsgi_temp_path t4; scgi_temp_path t5;
	proxy_cache_path cache keys_zone=zone:1m;
	gzip on; gzip_types text/plain;
	upstream self { server ADDR:8080; keepalive 8; }
	server {
		listen ADDR:8080;
		server_name ~^(?<name>.+)\.example$ localhost;
		root html;
		location /ready { access_log off; return 204; }
		location /generation { return 200 "GENERATION $name\n"; }
		location ~ \.shtml$ { ssi on; }
		location /proxy/ {
			proxy_pass http://self/; proxy_http_version 1.1;
			proxy_set_header Connection ""; proxy_cache zone;
			proxy_cache_valid 1m; proxy_cache_lock on;
		}
		location /old { rewrite ^/old/(.*)$ /$1 permanent; }
	}
}
END
}

# load REQUESTS PATH [OPTION] - what does not depend on time of ab's account.
load()
{
	ab -q -n "$1" -c 20 ${3-} "http://$addr:8080$2" |
		grep -E '^(Complete|Failed|Non-2xx|Document Length|HTML)'
}

fetch()
{
	curl -s -S "$@"
}

serving()
{
	read -r site <"$input/site"
	cd "$site"
	sed "s/ADDR/$addr/; s/GENERATION/first/" "$input/nginx.conf" >nginx.conf
	status nginx -p "$site" -e logs/error.log -c nginx.conf -t
	nginx -p "$site" -e logs/error.log -c nginx.conf &
	master=$!
	base=http://$addr:8080
	wait_until curl -s -f -o /dev/null $base/ready
	for pid in $master $(workers); do
		loaded_in $pid && echo "process as it should be"
	done

	fetch $base/small.html; fetch $base/part1.shtml
	fetch $base/big.txt | cksum; fetch --compressed $base/big.txt | cksum
	fetch -r 1000-1020,5000-5010 $base/big.txt | grep -vc '^--'
	fetch -o /dev/null -w '%{http_code} %{redirect_url}\n' $base/old/x
	fetch -o /dev/null -w '%{http_code}\n' $base/nosuchpage
	fetch -H 'Host: some.example' $base/generation
	fetch --data-binary @html/big.txt -o /dev/null -w '%{http_code}\n' \
		$base/small.html
	load 3000 /small.html -k; load 500 /small.html
	load 100 /big.txt -k; load 500 /proxy/small.html -k

	# A reload in the middle of a load: nothing fails, old workers go.
	old=$(workers)
	load 4000 /small.html >during &
	loader=$!
	sed -i 's/"first/"second/' nginx.conf
	kill -HUP $master
	wait_until gone $old
	wait $loader; grep Failed during
	for pid in $(workers); do
		loaded_in $pid && echo "process as it should be"
	done
	fetch $base/generation; fetch $base/small.html
	kill -QUIT $master; status wait $master
	sort logs/access.log | uniq -c | sed 's/ -$//'
	grep -cE '\[(alert|crit|emerg)\]' logs/error.log || true
	rm -r logs/* cache/* nginx.conf during
}

workers()
{
	cat "/proc/$master/task/$master/children" | tr ' ' '\n' | grep .
}

gone()
{
	for pid; do
		if test -d "/proc/$pid"; then
			return 1
		fi
	done
}

compare serving nginx curl ab
rm -rf "$(cat "$input/site")"
finish
