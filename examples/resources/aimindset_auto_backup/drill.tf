resource "aimindset_auto_backup" "this" {
  drill = {
    cron            = "0 5 * * *" # every night
    require_columns = ["public.articles.title", "public.articles.content"]
    timeout         = "5m"
  }
}
